//! Request bodies: read, parsed and validated in one place.
//!
//! Values are not converted to other types. Invalid JSON is 400. A wrong type, an unknown or a
//! repeated key is 422, and the first one is named. Broken limits and rules are 422, and all of them
//! are named at once.

use http::Method;
use poem::{Request, RequestBody};
use poem_openapi::error::ContentTypeError;
use poem_openapi::registry::{MetaMediaType, MetaRequest, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;
use validator::Validate;

use crate::failure::{Code, Failure, FieldError};
use crate::input;
use crate::input::exact::Object;

/// A JSON body of type `T`, whose limits have been checked.
pub struct Body<T>(pub T);

/// A JSON body of type `T` that has rules beyond the type's own, such as the configuration's.
///
/// The handler checks both at once, so that all mistakes are named together.
pub struct Unchecked<T>(pub T);

impl<T: Validate> Unchecked<T> {
    /// Checks the type's limits and `rule`, which says what it finds.
    pub fn check(self, rule: impl FnOnce(&T) -> Vec<FieldError>) -> Result<T, Failure> {
        input::check(&self.0, rule)?;
        Ok(self.0)
    }
}

/// A JSON body that may be left out, which means `T::default()`.
pub struct OptionalBody<T>(pub T);

const JSON: &str = "application/json";

/// The other media type of a `PATCH`, since that merges (RFC 7396).
const MERGE_PATCH: &str = "application/merge-patch+json";

/// Implements an extractor for a body of `T`, which differs in what it does with the request.
macro_rules! body {
    ($body:ident<T: $($limit:path),+>, required: $required:literal, $extract:expr) => {
        impl<'a, T: Type + DeserializeOwned $(+ $limit)+> ApiExtractor<'a> for $body<T> {
            const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
            type ParamType = ();
            type ParamRawType = ();

            fn register(registry: &mut Registry) {
                T::register(registry);
            }

            fn request_meta() -> Option<MetaRequest> {
                Some(meta::<T>($required))
            }

            async fn from_request(
                request: &'a Request,
                body: &mut RequestBody,
                _: ExtractParamOptions<()>,
            ) -> poem::Result<Self> {
                let extract: fn(&Request, &[u8]) -> poem::Result<Self> = $extract;
                extract(request, &read(body).await?)
            }
        }
    };
}

body!(Body<T: Validate>, required: true, |request, bytes| {
    check_content_type(request)?;
    Ok(Body(parse(bytes)?))
});
body!(Unchecked<T: Validate>, required: true, |request, bytes| {
    check_content_type(request)?;
    Ok(Unchecked(decode(bytes)?))
});
body!(OptionalBody<T: Validate, Default>, required: false, |request, bytes| {
    // Many clients send a content type even without a body.
    if bytes.is_empty() {
        return Ok(OptionalBody(T::default()));
    }
    check_content_type(request)?;
    Ok(OptionalBody(parse(bytes)?))
});

fn meta<T: Type>(required: bool) -> MetaRequest {
    MetaRequest {
        description: None,
        content: vec![MetaMediaType {
            content_type: JSON,
            schema: T::schema_ref(),
        }],
        required,
    }
}

/// Refuses a body whose content type is not JSON.
fn check_content_type(request: &Request) -> Result<(), ContentTypeError> {
    let Some(content_type) = request.content_type() else {
        return Err(ContentTypeError::ExpectContentType);
    };
    let mut parts = content_type.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let merges = request.method() == Method::PATCH && essence.eq_ignore_ascii_case(MERGE_PATCH);
    if (merges || essence.eq_ignore_ascii_case(JSON)) && parts.all(is_utf8_or_nothing) {
        return Ok(());
    }
    Err(ContentTypeError::NotSupported {
        content_type: content_type.to_owned(),
    })
}

/// RFC 8259: JSON is UTF-8, and nothing else may be claimed. A parameter's value may stand in
/// quotes (RFC 9110, section 5.6.6).
fn is_utf8_or_nothing(parameter: &str) -> bool {
    let value = match parameter.split_once('=') {
        None => return parameter.is_empty(),
        Some((name, value)) if name.eq_ignore_ascii_case("charset") => value,
        Some(_) => return false,
    };
    let quoted = value.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
    quoted.unwrap_or(value).eq_ignore_ascii_case("utf-8")
}

/// The whole body. The [stack](super::Stack) has limited its size, and the time it took to arrive.
pub async fn read(body: &mut RequestBody) -> Result<bytes::Bytes, poem::Error> {
    Ok(body.take()?.into_bytes().await?)
}

/// Parses and checks a body.
pub fn parse<T: DeserializeOwned + Validate>(bytes: &[u8]) -> Result<T, Failure> {
    let value = decode(bytes)?;
    input::check(&value, |_| Vec::new())?;
    Ok(value)
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let Object(value) = match serde_path_to_error::deserialize(&mut json) {
        Ok(value) => value,
        Err(error) => return Err(refuse(&error, bytes)),
    };
    json.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

fn malformed(error: &serde_json::Error) -> Failure {
    let (line, column) = (error.line(), error.column());
    let detail = match error.classify() {
        Category::Eof => "The body ends before its JSON does.".to_owned(),
        _ => format!("The body is not valid JSON at line {line}, column {column}."),
    };
    Failure::new(Code::MalformedRequest, detail)
}

/// Describes a type mismatch. serde's own message would repeat the value.
fn refuse(error: &serde_path_to_error::Error<serde_json::Error>, bytes: &[u8]) -> Failure {
    // The category of the error does not tell: serde_json calls a number in the place of an enum's
    // name a syntax error, and it stops at the first error, so that the rest may be invalid JSON.
    let syntax = match std::str::from_utf8(bytes) {
        Ok(text) => serde_json::from_str::<IgnoredAny>(text)
            .err()
            .map(|error| malformed(&error)),
        Err(_) => Some(Failure::new(
            Code::MalformedRequest,
            "The body is not UTF-8.",
        )),
    };
    if let Some(failure) = syntax {
        return failure;
    }
    let text = error.inner().to_string();
    let text = text
        .rsplit_once(" at line ")
        .map_or(text.as_str(), |(text, _)| text);
    let mut pointer = pointer(error.path());
    let named = |text: &str| text.split('`').nth(1).unwrap_or_default().to_owned();
    let (code, message) = if let Some(rest) = text.strip_prefix("unknown field ") {
        step_to(&mut pointer, &named(rest));
        let known = rest
            .rsplit_once(", expected ")
            .map_or("nothing", |(_, known)| known);
        (
            "unknown_field",
            format!("is not a field here; expected {known}"),
        )
    } else if let Some(rest) = text.strip_prefix("missing field ") {
        pointer.push('/');
        pointer.push_str(&named(rest));
        ("required", "is required".to_owned())
    } else if let Some(rest) = text.strip_prefix("duplicate field ") {
        step_to(&mut pointer, &named(rest));
        ("duplicate_field", "must not be given twice".to_owned())
    } else if text.starts_with("unknown variant ") {
        let known = text
            .rsplit_once(", expected ")
            .map_or("", |(_, known)| known);
        ("choice", format!("must be {known}"))
    } else if let Some(expected) = text.strip_prefix("out of range, expected ") {
        ("range", format!("must be {expected}"))
    } else if let Some((_, expected)) = text.rsplit_once(", expected ") {
        ("type", format!("must be {expected}"))
    } else if let Some(expected) = text.strip_prefix("expected ")
        && expected != "value"
    {
        ("type", format!("must be {expected}"))
    } else {
        ("type", "has the wrong form".to_owned())
    };
    Failure::invalid(vec![FieldError::new(pointer, code, message)])
}

/// Goes to the field `name`, unless the path ends there already.
fn step_to(pointer: &mut String, name: &str) {
    let step = format!("/{}", escape(name));
    if !pointer.ends_with(&step) {
        pointer.push_str(&step);
    }
}

/// RFC 6901.
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => format!("/{}", escape(key)),
            Segment::Enum { .. } | Segment::Unknown => String::new(),
        })
        .collect()
}

fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Debug, Deserialize, Serialize, Validate)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[validate(nested)]
        name: input::Line<1, 3>,
        #[validate(length(min = 1), nested)]
        items: Vec<Inner>,
    }

    #[derive(Debug, Deserialize, Serialize, Validate)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[validate(range(min = 1, max = 9))]
        size: i32,
    }

    #[derive(Debug, Deserialize, Validate)]
    struct Named {
        #[serde(rename = "kind")]
        _kind: Kind,
    }

    #[derive(Debug, Deserialize)]
    enum Kind {}

    fn problems(json: &str) -> Vec<(String, &'static str, String)> {
        let failure = parse::<Outer>(json.as_bytes()).expect_err("must be refused");
        assert_eq!(failure.code, Code::InvalidFields);
        failure
            .errors
            .into_iter()
            .map(|e| (e.pointer, e.code, e.message))
            .collect()
    }

    fn is_taken(method: Method, content_type: &str) -> bool {
        let request = Request::builder()
            .method(method)
            .content_type(content_type)
            .finish();
        check_content_type(&request).is_ok()
    }

    #[test]
    fn json_is_json_however_its_charset_is_written() {
        for fine in [
            "application/json",
            "Application/JSON ;charset=UTF-8",
            r#"application/json; charset="utf-8""#,
            r#"application/json; Charset="UTF-8";"#,
        ] {
            assert!(is_taken(Method::POST, fine), "{fine}");
        }
        for other in [
            "",
            "text/json",
            "application/json; charset=gbk",
            r#"application/json; charset="gbk""#,
            r#"application/json; charset="utf-8"#,
            "application/json; charset",
            "application/json; version=1",
            "application/json, text/plain",
        ] {
            assert!(!is_taken(Method::POST, other), "{other}");
        }
    }

    #[test]
    fn only_a_patch_is_a_merge_patch() {
        for content_type in [
            "application/merge-patch+json",
            r#"application/merge-patch+json; charset="utf-8""#,
        ] {
            assert!(is_taken(Method::PATCH, content_type));
            for other in [Method::POST, Method::PUT] {
                assert!(!is_taken(other, content_type));
            }
        }
        assert!(is_taken(Method::PATCH, "application/json"));
        assert!(!is_taken(Method::PATCH, "application/json-patch+json"));
    }

    #[test]
    fn all_limits_are_named_at_once_with_pointers() {
        let found = problems(r#"{"name": " 四个字符 ", "items": [{"size": 1}, {"size": 10}]}"#);
        let expected = [
            (
                "/items/1/size".to_owned(),
                "range",
                "must be 1 to 9".to_owned(),
            ),
            (
                "/name".to_owned(),
                "length",
                "must have 1 to 3 characters".to_owned(),
            ),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn wrong_types_are_named_without_their_value() {
        let found = problems(r#"{"name": 12345, "items": []}"#);
        assert_eq!(
            found,
            [("/name".to_owned(), "type", "must be a string".to_owned())]
        );
        let failure = parse::<Named>(br#"{"kind": null}"#).expect_err("must be refused");
        assert_eq!(failure.errors[0].pointer, "/kind");
        assert_eq!(failure.errors[0].message, "has the wrong form");
        let found = problems(r#"{"name": "a", "items": [{"size": "hunter2, expected x"}]}"#);
        assert_eq!(
            found,
            [("/items/0/size".to_owned(), "type", "must be i32".to_owned())]
        );
    }

    #[test]
    fn unknown_repeated_and_missing_keys_are_named() {
        assert_eq!(problems(r#"{"name": "a", "colour": 1}"#)[0].0, "/colour");
        assert_eq!(
            problems(r#"{"name": "a", "name": "b"}"#)[0].1,
            "duplicate_field"
        );
        assert_eq!(
            problems(r#"{"name": "a", "items": [{}]}"#)[0].0,
            "/items/0/size"
        );
    }

    #[test]
    fn bad_syntax_is_malformed() {
        for body in [
            "",
            "{",
            "{]",
            r#"{"name": "a", "items": [{"size": 1}]} x"#,
            "\u{feff}{}",
            "{}{}",
        ] {
            let failure = parse::<Outer>(body.as_bytes()).expect_err("must be refused");
            assert_eq!(failure.code, Code::MalformedRequest, "{body:?}");
        }
    }
}
