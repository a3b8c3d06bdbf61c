//! How settings are written. The errors are sentences for people.

use std::net::IpAddr;
use std::time::Duration;

use bytesize::ByteSize;
use figment::providers::{Format, Yaml};
use http::HeaderName;
use ipnet::IpNet;
use lettre::message::Mailbox;
use serde::de::{Deserialize, Deserializer, Error, IntoDeserializer, value};

use super::database_url::DatabaseUrl;
use super::origin::Origins;
use super::secret::SecretUrls;

/// A YAML scalar.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Scalar {
    Number(i64),
    Text(String),
}

/// An IP address.
pub fn address<'de, D: Deserializer<'de>>(from: D) -> Result<IpAddr, D::Error> {
    String::deserialize(from)?
        .parse()
        .map_err(|_| D::Error::custom("This is not an IP address. Host names are not resolved."))
}

/// A duration such as `15m`.
pub fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    match Scalar::deserialize(from) {
        Ok(Scalar::Text(text)) if text.trim().parse::<f64>().is_ok() => Err(no_unit(text.trim())),
        Ok(Scalar::Text(text)) => humantime::parse_duration(text.trim())
            .map_err(|_| D::Error::custom("This is not a duration. Write 500ms, 15m or 30d.")),
        Ok(Scalar::Number(number)) => Err(no_unit(number)),
        Err(_) => Err(D::Error::custom(
            "This is not a duration. Write 500ms, 15m or 30d.",
        )),
    }
}

fn no_unit<E: Error>(number: impl std::fmt::Display) -> E {
    E::custom(format!("The unit is missing. Write {number}s for seconds."))
}

/// A size such as `64KiB`, in bytes. A number without a unit is bytes, too.
pub fn size<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let size = match Scalar::deserialize(from) {
        Ok(Scalar::Text(text)) => text.trim().parse::<ByteSize>().ok().map(|size| size.0),
        Ok(Scalar::Number(number)) => number.try_into().ok(),
        Err(_) => None,
    };
    size.ok_or_else(|| D::Error::custom("This is not a size. Write 64KiB or 1MiB."))
}

/// Permission bits such as `"660"`.
pub fn mode<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let text = String::deserialize(from)?;
    let digits = text.strip_prefix("0o").unwrap_or(&text);
    // `from_str_radix` would accept a sign.
    let octal = digits.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
    u32::from_str_radix(digits, 8)
        .ok()
        .filter(|mode| octal && *mode <= 0o777)
        .ok_or_else(|| D::Error::custom("These are not permissions in octal digits."))
}

/// One of the names of an enum. (serde would also accept a variant's number.)
pub fn name<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    let text = String::deserialize(from)?;
    let text: value::StringDeserializer<value::Error> = text.into_deserializer();
    T::deserialize(text).map_err(|_| D::Error::custom("This is not one of the allowed values."))
}

/// One of the names of an enum, or null.
pub fn optional_name<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    let Some(text) = Option::<String>::deserialize(from)? else {
        return Ok(None);
    };
    let text: value::StringDeserializer<D::Error> = text.into_deserializer();
    name(text).map(Some)
}

/// A filter of tracing-subscriber.
pub fn log_filter<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    let levels = ["error", "warn", "info", "debug", "trace", "off"];
    // A single word that is not a level is a valid filter: it enables the target of that name only.
    // A misspelt `info` would thus silence the log.
    let misspelt = text.split(',').map(str::trim).find(|part| {
        !part.contains(['=', '[']) && !levels.iter().any(|level| part.eq_ignore_ascii_case(level))
    });
    if let Some(part) = misspelt {
        return Err(D::Error::custom(format!(
            "{part:?} is not a level. The levels are {}.",
            levels.join(", ")
        )));
    }
    match tracing_subscriber::EnvFilter::try_new(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(D::Error::custom(format!("This is not a filter: {error}."))),
    }
}

/// Networks in CIDR notation; a single address is a network of one.
pub fn networks<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<IpNet>, D::Error> {
    let networks = list(from)?.into_iter().map(|text| network(&text));
    networks.collect::<Result<_, _>>().map_err(D::Error::custom)
}

fn network(text: &str) -> Result<IpNet, String> {
    let network: IpNet = match text.parse::<IpAddr>() {
        Ok(address) => address.into(),
        Err(_) => text
            .parse()
            .map_err(|_| format!("{text:?} is not a network. Write 10.0.0.0/8 or 10.1.2.3."))?,
    };
    if network == network.trunc() {
        Ok(network)
    } else {
        Err(format!(
            "{text:?} is an address within a network. Write {} for the network.",
            network.trunc()
        ))
    }
}

/// Web origins, or `*`.
pub fn origins<'de, D: Deserializer<'de>>(from: D) -> Result<Origins, D::Error> {
    Origins::try_from(list(from)?).map_err(D::Error::custom)
}

/// Names of HTTP headers. `*` is refused: for browsers it does not include `Authorization`.
pub fn header_names<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<HeaderName>, D::Error> {
    let names = list(from)?.into_iter().map(|text| match text.parse() {
        Ok(name) if text != "*" => Ok(name),
        _ => Err(D::Error::custom(format!(
            "{text:?} is not the name of a header."
        ))),
    });
    names.collect()
}

/// The sender of mail, or null.
pub fn optional_mailbox<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Mailbox>, D::Error> {
    let Some(text) = Option::<String>::deserialize(from)? else {
        return Ok(None);
    };
    let refusal =
        "This is not an address. Write polls@example.org or \"Polls <polls@example.org>\".";
    text.parse()
        .map(Some)
        .map_err(|_| D::Error::custom(refusal))
}

/// URLs of databases.
pub fn database_urls<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<DatabaseUrl>, D::Error> {
    let urls = SecretUrls::deserialize(from)?.0;
    let urls = urls.into_iter().map(DatabaseUrl::try_from);
    urls.collect::<Result<_, _>>().map_err(D::Error::custom)
}

/// A list, also as one line of text: items separated by commas, or YAML's `[a, b]`.
pub fn list<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum List {
        Items(Vec<String>),
        Line(String),
        Nothing(()),
    }
    let refusal = || D::Error::custom("This is not a list of text items.");
    match List::deserialize(from).map_err(|_| refusal())? {
        List::Items(items) => Ok(items),
        List::Nothing(()) => Ok(Vec::new()),
        List::Line(line) if line.trim_start().starts_with('[') => {
            Yaml::from_str(&line).map_err(|_| refusal())
        }
        List::Line(line) => Ok(line
            .split(',')
            .map(|item| item.trim().to_owned())
            .filter(|item| !item.is_empty())
            .collect()),
    }
}
