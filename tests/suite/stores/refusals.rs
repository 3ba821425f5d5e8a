//! What a store refuses, and what is refused before any store is asked: named, with the URL, and without a secret.

use std::net::TcpListener;
use std::path::Path;

use super::place::{Backend, Place, code, stderr, stdout};
use super::same::lake;
use super::servers::Server;
use crate::lake::SLUG;

const RANGE: [&str; 4] = ["--from", "2024-05-01", "--to", "2024-05-04"];

/// A run that is asked to tell all it can, with these variables set otherwise.
fn run_with(place: &Place, variables: &[(&str, &str)], source: &str, output: &str) -> std::process::Output {
    let mut command = place.command();
    for (name, value) in variables {
        command.env(name, value);
    }
    command.env("LAKEHUNT_LOG", "trace").args(["run", SLUG, "--source", source, "--output", output]).args(RANGE);
    let result = command.args(["--store-timeout", "3s", "--store-retries", "2"]).output().unwrap();
    place.check_no_secret("stdout", &result.stdout);
    place.check_no_secret("stderr", &result.stderr);
    for (name, value) in variables {
        if name.ends_with("KEY") {
            assert!(!stderr(&result).contains(value), "the wrong key is shown, too");
        }
    }
    result
}

fn error_line(output: &std::process::Output) -> String {
    let text = stderr(output);
    text.lines().rev().find(|line| line.contains("ERROR")).unwrap_or_else(|| panic!("no error in {text}")).to_owned()
}

#[test]
fn a_wrong_key_is_refused_at_once_with_what_is_needed() {
    for backend in Backend::remote() {
        let place = Place::new(backend);
        place.upload(&lake());
        let wrong = match backend {
            Backend::Azure(_) => [("AZURE_STORAGE_ACCOUNT_KEY", "d3JvbmcgYnV0IHdlbGwgZm9ybWVkIGtleSwgcmVhbGx5IQ==")],
            _ => [("AWS_SECRET_ACCESS_KEY", "wrong-but-well-formed-key-really")],
        };
        let output = run_with(&place, &wrong, &place.url("lake"), &place.url("out"));
        let line = error_line(&output);
        assert_eq!(code(&output), Some(5), "{line}");
        assert!(line.contains("access is refused") && line.contains(&place.url("out")), "{line}");
        let needed = if matches!(backend, Backend::Azure(_)) { "Storage Blob Data Reader" } else { "s3:ListBucket" };
        assert!(line.contains(needed), "{line}");
        assert!(place.objects("out").is_empty());
    }
}

#[test]
fn a_bucket_that_does_not_exist_is_named() {
    for backend in Backend::remote() {
        let place = Place::new(backend);
        place.upload(&lake());
        let (there, nowhere) = (place.url("lake"), "nowhere-such");
        let missing = |path: &str| {
            place.url(path).replace("lake@", &format!("{nowhere}@")).replace("s3://lake", &format!("s3://{nowhere}"))
        };
        let output = run_with(&place, &[], &missing("lake"), &place.url("out"));
        assert_eq!(code(&output), Some(5), "{}", stderr(&output));
        let line = error_line(&output);
        assert!(line.contains("does not exist") && line.contains(nowhere), "{line}");

        let output = run_with(&place, &[], &there, &missing("out"));
        assert_eq!(code(&output), Some(5), "{}", stderr(&output));
        let line = error_line(&output);
        assert!(line.contains("does not exist") && line.contains(nowhere), "{line}");
    }
}

#[test]
fn an_endpoint_that_cannot_be_reached_is_named_within_the_time_limit() {
    // A port that nobody listens on.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for backend in Backend::remote() {
        let place = Place::new(backend);
        place.upload(&lake());
        let name = match backend {
            Backend::Azure(_) => "AZURE_STORAGE_ENDPOINT",
            _ => "AWS_ENDPOINT_URL",
        };
        let endpoint = format!("http://127.0.0.1:{port}/account");
        let output = run_with(&place, &[(name, &endpoint)], &place.url("lake"), &place.url("out"));
        let line = error_line(&output);
        assert_eq!(code(&output), Some(5), "{line}");
        assert!(line.contains(&place.url("out")), "{line}");
    }
}

#[test]
fn a_location_that_holds_a_secret_is_refused_without_repeating_it() {
    let place = Place::new(Backend::Local);
    place.upload(&lake());
    for url in [
        "https://account.blob.core.windows.net/lake?sv=2024&sig=S3CRETVALUE",
        "s3://key:S3CRETVALUE@bucket/lake",
        "abfss://lake:S3CRETVALUE@account.dfs.core.windows.net/a",
    ] {
        for (source, output) in [(url.to_owned(), place.url("out")), (place.url("lake"), url.to_owned())] {
            let result = run_with(&place, &[], &source, &output);
            assert_eq!(code(&result), Some(2), "{}", stderr(&result));
            let said = format!("{}{}", stderr(&result), stdout(&result));
            assert!(!said.contains("S3CRETVALUE") && said.contains("environment"), "{said}");
        }
    }
}

/// The flagship's job with a change, in a folder of its own.
fn job(folder: &Path, change: impl Fn(&str) -> String) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in
        ["sql/signin-success-then-fail.sql", "sql/views/signin-logs.sql", "jobs/tests/signin-success-then-fail.yaml"]
    {
        std::fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
        std::fs::copy(root.join(name), folder.join(name)).unwrap();
    }
    std::fs::create_dir_all(folder.join("jobs")).unwrap();
    let name = format!("jobs/{SLUG}.yaml");
    let text = std::fs::read_to_string(root.join(&name)).unwrap();
    let changed = change(&text);
    assert_ne!(changed, text, "the change changes something");
    std::fs::write(folder.join(&name), changed).unwrap();
    folder.join(&name).display().to_string()
}

#[test]
fn a_job_file_that_holds_a_secret_is_refused() {
    let place = Place::new(Backend::Local);
    for line in [
        "  store: { secret_access_key: S3CRETVALUE }",
        "  store: { account_key: S3CRETVALUE }",
        "  store: { endpoint: 'http://user:S3CRETVALUE@127.0.0.1:1' }",
        "  url: https://account.blob.core.windows.net/lake?sig=S3CRETVALUE",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let job = job(folder.path(), |text| text.replace("source:\n", &format!("source:\n{line}\n")));
        let output = place.lakehunt(&["validate", &job]);
        let said = stderr(&output);
        assert_eq!(code(&output), Some(2), "{line}: {said}");
        assert!(said.contains("holds no secrets") && said.contains("source."), "{line}: {said}");
        assert!(!said.contains("S3CRETVALUE"), "{said}");
    }
}

#[test]
fn the_job_file_says_how_each_store_is_reached() {
    for backend in Backend::remote() {
        let place = Place::new(backend);
        place.upload(&lake());
        let server = backend.server().unwrap();
        let endpoint = server.endpoint();
        let store = match backend {
            Backend::Azure(_) => format!("  store: {{ endpoint: '{endpoint}', allow_http: true }}\n"),
            _ => format!(
                "  store: {{ endpoint: '{endpoint}', allow_http: true, region: us-east-1, path_style: true }}\n"
            ),
        };
        let folder = tempfile::tempdir().unwrap();
        let (source, output) = (place.url("lake"), place.url("out"));
        let job = job(folder.path(), |text| {
            text.replace("source:\n", &format!("source:\n  url: {source}\n{store}"))
                .replace("output:\n", &format!("output:\n  url: {output}\n{store}"))
        });
        let mut command = place.command();
        for (name, _) in server.env() {
            if !name.ends_with("KEY") && !name.ends_with("KEY_ID") {
                command.env_remove(name);
            }
        }
        let result = command.args(["run", &job]).args(RANGE).output().unwrap();
        assert_eq!(code(&result), Some(0), "{}: {}", backend.name(), stderr(&result));
        assert_eq!(place.hits().len(), 3);
    }
}

#[test]
fn a_profile_of_the_aws_command_line_gives_credentials() {
    for backend in Backend::remote() {
        let Backend::S3(server) = backend else { continue };
        let place = Place::new(backend);
        place.upload(&lake());
        let home = tempfile::tempdir().unwrap();
        let env: std::collections::BTreeMap<String, String> = server.env().into_iter().collect();
        let (id, secret) = (&env["AWS_ACCESS_KEY_ID"], &env["AWS_SECRET_ACCESS_KEY"]);
        std::fs::create_dir(home.path().join(".aws")).unwrap();
        let credentials = format!("[hunting]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
        std::fs::write(home.path().join(".aws/credentials"), credentials).unwrap();
        std::fs::write(home.path().join(".aws/config"), "[profile hunting]\nregion = us-east-1\n").unwrap();
        let run = |profile: &str| {
            let mut command = place.command();
            command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY").env_remove("AWS_REGION");
            command.env("HOME", home.path()).env("AWS_PROFILE", profile);
            let (source, output) = (place.url("lake"), place.url("out"));
            let args = ["run", SLUG, "--source", &source, "--output", &output, "-vv"];
            let result = command.args(args).args(RANGE).output().unwrap();
            place.check_no_secret("stderr", &result.stderr);
            result
        };
        let result = run("hunting");
        assert_eq!(code(&result), Some(0), "{}", stderr(&result));
        let result = run("huntign");
        assert_eq!(code(&result), Some(2), "{}", stderr(&result));
        assert!(error_line(&result).contains("huntign"), "{}", stderr(&result));
    }
}

/// The one credential that travels in URLs, which every layer likes to log.
#[test]
fn a_shared_access_signature_works_and_is_never_shown() {
    for backend in Backend::remote() {
        let Backend::Azure(server) = backend else { continue };
        let place = Place::new(backend);
        place.upload(&lake());
        let (token, signature) = server.shared_access();
        let run = |token: &str, output: &str| {
            let mut command = place.command();
            command.env_remove("AZURE_STORAGE_ACCOUNT_KEY").env("AZURE_STORAGE_SAS_TOKEN", token);
            command.env("LAKEHUNT_LOG", "trace");
            let args = ["run", SLUG, "--source", &place.url("lake"), "--output", &place.url(output)];
            let result = command.args(args).args(RANGE).args(["--store-timeout", "4s"]).output().unwrap();
            let said = format!("{}{}", stderr(&result), stdout(&result));
            let encoded = signature.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
            for secret in [&signature, &encoded] {
                assert!(!said.contains(secret.as_str()), "the signature is shown");
            }
            result
        };
        let result = run(&token, "out");
        assert_eq!(code(&result), Some(0), "{}", error_line(&result));
        assert_eq!(place.hits().len(), 3);
        for bytes in place.objects("out").values() {
            assert!(!String::from_utf8_lossy(bytes).contains(&signature));
        }
        // One that does not fit, and what the server says of it.
        let result = run(&token.replace("sp=rwdlac", "sp=rwdla"), "other");
        assert_eq!(code(&result), Some(5), "{}", error_line(&result));
        assert!(error_line(&result).contains("access is refused"), "{}", error_line(&result));
    }
}

#[test]
fn secrets_of_servers_are_long_enough_to_be_looked_for() {
    for backend in Backend::remote() {
        let secrets = backend.server().map(Server::secrets).unwrap();
        assert!(!secrets.is_empty() && secrets.iter().all(|secret| secret.len() >= 16));
    }
}
