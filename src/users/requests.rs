//! What makes or changes an account, as requests and commands say it.

use phonenumber::country;
use poem_openapi::Object;
use poem_openapi::types::Example;
use serde::Deserialize;
use validator::Validate;

use super::Role;
use super::email::Email;
use super::password::{CurrentPassword, NewPassword};
use super::phone::PhoneNumber;
use super::policy::{self, Owner};
use crate::failure::FieldError;
use crate::input::{Line, exact, present};
use crate::patch::Patch;

/// What others see of an account; not unique.
pub type Name = Line<1, 40>;

/// What it takes to register.
#[derive(Debug, Clone, Object, Deserialize, Validate)]
#[oai(
    rename = "UserInput",
    deny_unknown_fields,
    example,
    skip_serializing_if_is_none
)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// What others see.
    #[validate(nested)]
    pub name: Name,
    /// To sign in with. Unique, whatever its case, and whether an internationalised domain is
    /// written in its own script or as `xn--…`; shown with the former.
    #[validate(nested)]
    pub email: Email,
    /// To sign in with: in E.164 form, or as it is dialled in the server's default region. Unique.
    #[serde(default, deserialize_with = "present")]
    #[validate(nested)]
    pub phone: Option<PhoneNumber>,
    /// Taken as it is, character by character. Not one of the most common ones, and at least 8
    /// characters beside the account's name, email address and phone number.
    #[validate(nested)]
    pub password: NewPassword,
}

impl NewUser {
    /// Mistakes beyond the limits of single fields. A phone number without `+` is one of `region`.
    pub fn mistakes(&self, region: country::Id) -> Vec<FieldError> {
        let phone = self.phone.as_ref().map(|phone| phone.e164(region));
        let phone = phone.transpose();
        let owner = Owner {
            name: &self.name,
            email: self.email.as_str(),
            phone: match &phone {
                Ok(Some(phone)) => phone,
                Ok(None) | Err(_) => "",
            },
        };
        let password = policy::mistake("/password", self.password.expose(), owner);
        phone.err().into_iter().chain(password).collect()
    }

    /// The same after it was checked.
    pub fn into_registration(self, region: country::Id) -> Registration {
        Registration {
            name: self.name.into(),
            email: self.email.into_string(),
            phone: self.phone.and_then(|phone| phone.e164(region).ok()),
            password: self.password.expose().to_owned(),
        }
    }
}

impl Example for NewUser {
    fn example() -> Self {
        NewUser {
            name: Name::new("露西"),
            email: Email::new("luxi@qq.com"),
            phone: Some(PhoneNumber::new("16666666661")),
            password: NewPassword::new("correct horse battery staple".into()),
        }
    }
}

/// A registration that was checked. Text is normalised, the email address as it is
/// [shown](super::email::shown), the phone number in E.164, the password as it was typed.
#[derive(Debug, Clone)]
pub struct Registration {
    pub name: String,
    pub email: String,
    pub phone: Option<String>,
    pub password: String,
}

/// A change of one's own account. What is absent stays as it is.
#[derive(Debug, Clone, Default, Object, Deserialize, Validate)]
#[oai(deny_unknown_fields, example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub struct AccountPatch {
    /// What others see.
    #[serde(default, deserialize_with = "present")]
    #[validate(nested)]
    pub name: Option<Name>,
    /// To sign in with, as when registering.
    #[serde(default, deserialize_with = "present")]
    #[validate(nested)]
    pub email: Option<Email>,
    /// To sign in with, as when registering; null removes it.
    #[serde(default)]
    #[validate(nested)]
    pub phone: Patch<PhoneNumber>,
    /// The password that the account has: required to change the email address or phone number.
    #[serde(default, deserialize_with = "present")]
    #[validate(nested)]
    pub current_password: Option<CurrentPassword>,
}

impl AccountPatch {
    /// Mistakes beyond the limits of single fields.
    pub fn mistakes(&self, region: country::Id) -> Vec<FieldError> {
        let phone = self.phone.value().map(|phone| phone.e164(region));
        phone.and_then(Result::err).into_iter().collect()
    }
}

impl Example for AccountPatch {
    fn example() -> Self {
        AccountPatch {
            name: Some(Name::new("Lucy")),
            email: None,
            phone: Patch::Set(PhoneNumber::new("+8616666666661")),
            current_password: Some(CurrentPassword::new("correct horse battery staple".into())),
        }
    }
}

/// What admins change. What is absent stays as it is.
#[derive(Debug, Clone, Copy, Default, Object, Deserialize, Validate)]
#[oai(deny_unknown_fields, example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub struct UserPatch {
    #[serde(default, deserialize_with = "exact::word_if_present")]
    pub role: Option<Role>,
    /// Whether it is kept from signing in.
    #[serde(default, deserialize_with = "present")]
    pub disabled: Option<bool>,
}

impl Example for UserPatch {
    fn example() -> Self {
        UserPatch {
            role: Some(Role::Admin),
            disabled: None,
        }
    }
}
