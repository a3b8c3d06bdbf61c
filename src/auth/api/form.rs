//! Form bodies as OAuth 2.0 reads them (RFC 6749, appendix B and section 3.2).

use std::collections::HashMap;

/// The parameters of a form. Unknown ones are ignored by asking for the known.
#[derive(Default)]
pub struct Form(HashMap<String, String>);

/// A parameter occurs twice, and which one counts would be a guess.
#[derive(Debug, PartialEq, Eq)]
pub struct Repeated;

impl Form {
    pub fn parse(body: &[u8]) -> Result<Form, Repeated> {
        let mut fields = HashMap::new();
        for (name, value) in form_urlencoded::parse(body).into_owned() {
            if fields.insert(name, value).is_some() {
                return Err(Repeated);
            }
        }
        Ok(Form(fields))
    }

    /// The values of all these parameters, or the names of those that are absent.
    pub fn require<const N: usize>(
        &mut self,
        names: [&'static str; N],
    ) -> Result<[String; N], Vec<&'static str>> {
        let values = names.map(|name| self.take(name));
        let given = names.iter().zip(&values);
        let missing: Vec<_> = given
            .filter(|(_, value)| value.is_none())
            .map(|(name, _)| *name)
            .collect();
        match missing.is_empty() {
            true => Ok(values.map(Option::unwrap_or_default)),
            false => Err(missing),
        }
    }

    /// A parameter's value. One without a value counts as absent.
    pub fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_and_empty_ones_are_absent() {
        let mut form = Form::parse(b"a=1+2%2B3&b=&%E5%90%8D=%E9%9C%B2")
            .ok()
            .unwrap();
        assert_eq!(form.take("a").as_deref(), Some("1 2+3"));
        assert_eq!(form.take("b"), None);
        assert_eq!(form.take("名").as_deref(), Some("露"));
    }

    #[test]
    fn all_that_is_missing_is_named() {
        let form = || Form::parse(b"a=1&b=").ok().unwrap();
        assert_eq!(form().require(["a"]), Ok(["1".to_owned()]));
        assert_eq!(form().require(["c", "a", "b"]), Err(vec!["c", "b"]));
    }

    #[test]
    fn a_repeated_parameter_is_refused_even_if_unknown() {
        assert_eq!(Form::parse(b"x=1&y=2&x=").err(), Some(Repeated));
    }
}
