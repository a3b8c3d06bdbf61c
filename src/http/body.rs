//! Request bodies: read, parsed and validated in one place.
//!
//! Values are not converted to other types. Invalid JSON is 400. Anything else is 422, which names
//! all fields that are missing, unknown, repeated, of the wrong type or beyond a limit. Rules that go
//! beyond the schema are checked once the body has its form.

use http::Method;
use poem::{Request, RequestBody};
use poem_openapi::error::ContentTypeError;
use poem_openapi::registry::{MetaMediaType, MetaRequest, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use validator::Validate;

use crate::failure::{Code, Failure, FieldError, Rule};
use crate::input;
use crate::input::exact::Object;

/// A JSON body of type `T`, whose limits have been checked.
pub struct Body<T>(pub T);

/// A JSON body of type `T` that has rules beyond the type's own, such as the configuration's.
///
/// The handler checks both at once, so that all mistakes are named together.
pub struct Unchecked<T>(pub T);

impl<T: Type + Validate> Unchecked<T> {
    /// Checks the type's limits and `rule`, which says what it finds.
    pub fn check(self, rule: impl FnOnce(&T) -> Vec<FieldError>) -> Result<T, Failure> {
        input::check(&self.0, rule)?;
        Ok(self.0)
    }
}

/// A JSON body that may be left out or null, which means `T::default()`.
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
    match bytes.trim_ascii() {
        b"null" => Ok(OptionalBody(T::default())),
        _ => Ok(OptionalBody(parse(bytes)?)),
    }
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
fn parse<T: Type + DeserializeOwned + Validate>(bytes: &[u8]) -> Result<T, Failure> {
    let value = decode(bytes)?;
    input::check(&value, |_| Vec::new())?;
    Ok(value)
}

fn decode<T: Type + DeserializeOwned + Validate>(bytes: &[u8]) -> Result<T, Failure> {
    match serde_json::from_slice(bytes) {
        Ok(Object(value)) => Ok(value),
        // What serde says of it is not used: that is the first mistake, in words about Rust's types.
        Err(_) => Err(refusal::<T>(bytes)),
    }
}

/// Why a body is no `T`.
fn refusal<T: Type + DeserializeOwned + Validate>(bytes: &[u8]) -> Failure {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Failure::new(Code::MalformedRequest, "The body is not UTF-8.");
    };
    match input::mistakes_of_json::<T>(text) {
        Ok(mistakes) if mistakes.is_empty() => {
            let whole = FieldError::new("", Rule::Type, "has the wrong form");
            Failure::invalid(vec![whole])
        }
        Ok(mistakes) => Failure::invalid(mistakes),
        Err(error) => malformed(&error),
    }
}

fn malformed(error: &serde_json::Error) -> Failure {
    let (line, column) = (error.line(), error.column());
    let detail = match error.classify() {
        Category::Eof => "The body ends before its JSON does.".to_owned(),
        _ => format!("The body is not valid JSON at line {line}, column {column}."),
    };
    Failure::new(Code::MalformedRequest, detail)
}

#[cfg(test)]
mod tests {
    use poem_openapi::{Enum, Object};
    use serde::{Deserialize, Serialize};
    use uuid::Uuid;

    use super::*;
    use crate::clock::Time;
    use crate::patch::Patch;

    #[derive(Debug, Object, Deserialize, Serialize, Validate)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[validate(nested)]
        name: input::Line<1, 3>,
        #[oai(validator(max_items = 2))]
        #[serde(deserialize_with = "input::exact::objects")]
        #[validate(length(min = 1, max = 2), nested)]
        items: Vec<Inner>,
        #[serde(default, deserialize_with = "input::exact::word_if_present")]
        kind: Option<Kind>,
        #[serde(default, deserialize_with = "input::present")]
        at: Option<Time>,
        #[serde(default)]
        end: Patch<Time>,
        #[serde(default, deserialize_with = "input::present")]
        id: Option<Uuid>,
    }

    #[derive(Debug, Object, Deserialize, Serialize, Validate)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[validate(nested)]
        size: input::Number<1, 9>,
        #[serde(default, deserialize_with = "input::present")]
        is_new: Option<bool>,
    }

    #[derive(Debug, Enum, Deserialize, Serialize)]
    #[oai(rename_all = "snake_case")]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Big,
        Small,
    }

    fn problems(json: &str) -> Vec<(String, Rule, String)> {
        let failure = parse::<Outer>(json.as_bytes()).expect_err("must be refused");
        assert_eq!(failure.code, Code::InvalidFields);
        let errors = failure.errors.into_iter();
        errors
            .map(|error| (error.pointer, error.code, error.message))
            .collect()
    }

    /// Where which rule is broken, without the words.
    fn broken(json: &str) -> Vec<(String, Rule)> {
        let problems = problems(json).into_iter();
        problems.map(|(pointer, rule, _)| (pointer, rule)).collect()
    }

    fn at(places: &[(&str, Rule)]) -> Vec<(String, Rule)> {
        let places = places.iter();
        places
            .map(|(pointer, rule)| ((*pointer).to_owned(), *rule))
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
    fn all_limits_are_named_at_once_in_the_order_of_the_schema() {
        let found = problems(r#"{"items": [{"size": 1}, {"size": 10}], "name": " 四个字符 "}"#);
        let expected = [
            (
                "/name".to_owned(),
                Rule::Length,
                "must have 1 to 3 characters".to_owned(),
            ),
            (
                "/items/1/size".to_owned(),
                Rule::Range,
                "must be 1 to 9".to_owned(),
            ),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn everything_that_is_missing_is_named() {
        let required = at(&[("/name", Rule::Required), ("/items", Rule::Required)]);
        assert_eq!(broken("{}"), required);
        assert_eq!(
            broken(r#"{"items": [{}, {"size": 1}], "id": null}"#),
            at(&[
                ("/name", Rule::Required),
                ("/items/0/size", Rule::Required),
                ("/id", Rule::Type),
            ])
        );
    }

    #[test]
    fn everything_of_the_wrong_type_is_named_without_its_value() {
        let json = r#"{"id": "x", "end": 1, "at": "hunter2", "kind": "huge", "name": ["hunter2"],
            "items": [[1], {"size": 1.5, "is_new": 0}]}"#;
        let expected = [
            ("/name", Rule::Type, "must be a string"),
            ("/items/0", Rule::Type, "must be an object"),
            (
                "/items/1/size",
                Rule::Type,
                "must be an integer from 1 to 9",
            ),
            ("/items/1/is_new", Rule::Type, "must be `true` or `false`"),
            ("/kind", Rule::Choice, "must be `big` or `small`"),
            (
                "/at",
                Rule::Type,
                "must be an RFC 3339 time such as 2026-04-15T19:47:16Z",
            ),
            (
                "/end",
                Rule::Type,
                "must be an RFC 3339 time such as 2026-04-15T19:47:16Z",
            ),
            (
                "/id",
                Rule::Type,
                "must be a UUID such as 01963b1c-7a20-7d4e-9c1f-5a6b7c8d9e0f",
            ),
        ];
        let expected =
            expected.map(|(pointer, rule, text)| (pointer.to_owned(), rule, text.to_owned()));
        assert_eq!(problems(json), expected);
        for wrong in ["[]", "null", "1", r#"["a", []]"#] {
            assert_eq!(broken(wrong), at(&[("", Rule::Type)]), "{wrong}");
        }
        let huge =
            r#"{"name": "a", "items": [{"size": 9999999999}], "at": "9999-12-31T23:59:59-01:00"}"#;
        let range = at(&[("/items/0/size", Rule::Range), ("/at", Rule::Range)]);
        assert_eq!(broken(huge), range);
    }

    #[test]
    fn unknown_and_repeated_fields_are_named_too() {
        let json = r#"{"a/b": 1, "name": "a", "name": 1, "items": [{"size": 1, "colour": [{}]}], "x": {}}"#;
        assert_eq!(
            broken(json),
            at(&[
                ("/name", Rule::DuplicateField),
                ("/items/0/colour", Rule::UnknownField),
                ("/a~1b", Rule::UnknownField),
                ("/x", Rule::UnknownField),
            ])
        );
        assert_eq!(
            problems(r#"{"name": "a", "items": [{"size": 1, "colour": 1}]}"#)[0].2,
            "is not a field here; expected `size` or `is_new`"
        );
    }

    #[test]
    fn limits_are_named_beside_what_has_not_the_form_and_not_twice() {
        let json = r#"{"name": "four", "items": [{"size": 0}, 1, 2, {"size": "x"}], "kind": 1}"#;
        assert_eq!(
            broken(json),
            at(&[
                ("/name", Rule::Length),
                ("/items", Rule::Length),
                ("/items/1", Rule::Type),
                ("/items/2", Rule::Type),
                ("/kind", Rule::Type),
            ])
        );
    }

    #[test]
    fn null_clears_what_can_be_cleared() {
        let outer: Outer = parse(br#"{"name": "a", "items": [{"size": 1}], "end": null}"#).unwrap();
        assert_eq!(outer.end, Patch::Cleared);
        let beside = broken(r#"{"items": [{"size": 1}], "end": null}"#);
        assert_eq!(beside, at(&[("/name", Rule::Required)]));
    }

    #[test]
    fn an_answer_names_so_many_mistakes_and_no_more() {
        let fields = (0..10_000).map(|number| format!(r#""f{number}": 1"#));
        let json = format!("{{{}}}", fields.collect::<Vec<_>>().join(", "));
        assert_eq!(broken(&json).len(), crate::failure::MOST_ERRORS);
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
