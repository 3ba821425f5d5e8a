//! Keeps secrets out of what is written: refuses them where they do not belong, and blots out those that are known.

use std::borrow::Cow;
use std::sync::OnceLock;

use regex::Regex;

/// Variables whose values must never be shown.
const SECRET_VARIABLES: [&str; 17] = [
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_STORAGE_MASTER_KEY",
    "AZURE_STORAGE_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_SAS_KEY",
    "AZURE_STORAGE_TOKEN",
    "AZURE_STORAGE_CLIENT_SECRET",
    "AZURE_STORAGE_CONNECTION_STRING",
    "AZURE_CLIENT_SECRET",
    "AZURE_CLIENT_CERTIFICATE_PASSWORD",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
    "IDENTITY_HEADER",
];

/// Shorter values are no secrets, and blotting them out would spoil ordinary words.
const SHORTEST: usize = 8;

const BLOT: &str = "***";

/// `text` without the secrets that are known: values of the environment's secret variables, and signatures in URLs.
///
/// The clients of the stores take care themselves; this is the second wall, before every log and message.
pub(crate) fn redact(text: &str) -> Cow<'_, str> {
    static KNOWN: OnceLock<Vec<String>> = OnceLock::new();
    let known = KNOWN.get_or_init(|| {
        let values = SECRET_VARIABLES.iter().filter_map(|name| std::env::var(name).ok());
        let mut values: Vec<String> = values.filter(|value| value.len() >= SHORTEST).collect();
        // A secret that holds another one goes first.
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        values
    });
    let mut text = Cow::Borrowed(text);
    for value in known {
        if text.contains(value.as_str()) {
            text = Cow::Owned(text.replace(value.as_str(), BLOT));
        }
    }
    match signature().replace_all(&text, "${1}${2}***") {
        Cow::Borrowed(_) => text,
        Cow::Owned(replaced) => Cow::Owned(replaced),
    }
}

/// What in a URL is or may be a secret: a password, a key in place of a user, or a query.
pub(crate) fn in_url(url: &str) -> Option<&'static str> {
    let (scheme, rest) = url.split_once("://")?;
    if rest.contains('?') {
        return Some("a query, which may be a signature");
    }
    let authority = rest.split('/').next().unwrap_or_default();
    let (user, _) = authority.rsplit_once('@')?;
    if user.contains(':') {
        return Some("a password");
    }
    // In abfss the container stands before the @; nowhere else does anything but a credential.
    (!scheme.eq_ignore_ascii_case("abfss") && !scheme.eq_ignore_ascii_case("abfs"))
        .then_some("a user, which may be a key")
}

/// Why a key and its value look like a secret in a file that others read, if they do.
pub(crate) fn suspicious(key: &str, value: &str) -> Option<&'static str> {
    let key = key.to_ascii_lowercase().replace(['_', '-'], "");
    let by_name = ["secret", "password", "passwd", "accesskey", "accountkey", "sastoken", "saskey", "credential"];
    if by_name.iter().any(|word| key.contains(word)) || key == "token" || key == "sessiontoken" {
        return Some("its name is that of a secret");
    }
    if signature().is_match(value) {
        return Some("its value holds a key or a signature");
    }
    if value.contains("://") && in_url(value).is_some() {
        return Some("its URL holds a password, a key or a signature");
    }
    None
}

/// What announces a secret in a text: parts of a SAS or a connection string, private keys, AWS key ids and JSON web tokens.
fn signature() -> &'static Regex {
    static PATTERN: OnceLock<Regex> = OnceLock::new();
    #[allow(clippy::expect_used)] // A constant; the test below compiles it.
    PATTERN.get_or_init(|| {
        Regex::new(
            r"(?x)
              ( \b(?i:sig|x-amz-signature|x-amz-security-token|x-goog-signature)= | \b(?i:AccountKey|SharedAccessSignature)= )
              [^&\s;'\x22]+
            | ( -----BEGIN\ [A-Z\ ]*PRIVATE\ KEY----- ) [^-]*
            | \b(?:AKIA|ASIA)[0-9A-Z]{16}\b
            | \beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]+",
        )
        .expect("the pattern is valid")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_and_keys_are_blotted_out() {
        for (text, shown) in [
            (
                "GET https://a.blob.core.windows.net/c/f?sv=1&sig=abc%3D&se=2 failed",
                "GET https://a.blob.core.windows.net/c/f?sv=1&sig=***&se=2 failed",
            ),
            ("AccountName=a;AccountKey=abc==;EndpointSuffix=x", "AccountName=a;AccountKey=***;EndpointSuffix=x"),
            ("key AKIAIOSFODNN7EXAMPLE is wrong", "key *** is wrong"),
            ("nothing secret, design=1", "nothing secret, design=1"),
        ] {
            assert_eq!(redact(text), shown);
        }
    }

    #[test]
    fn secrets_are_known_by_name_or_by_look() {
        for (key, value) in [
            ("secret_access_key", "x"),
            ("AWS_SECRET_ACCESS_KEY", "x"),
            ("account-key", "x"),
            ("url", "https://a.blob.core.windows.net/c?sig=x"),
            ("url", "s3://key:secret@bucket/a"),
            ("note", "AccountKey=abc=="),
            ("note", "AKIAIOSFODNN7EXAMPLE"),
        ] {
            assert!(suspicious(key, value).is_some(), "{key}: {value}");
        }
        for (key, value) in [
            ("url", "abfss://lake@account.dfs.core.windows.net/a"),
            ("endpoint", "http://127.0.0.1:8333"),
            ("profile", "hunting"),
            ("key", "ResultType"),
            ("region", "eu-west-1"),
        ] {
            assert_eq!(suspicious(key, value), None, "{key}: {value}");
        }
    }
}
