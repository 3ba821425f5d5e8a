//! The deployment examples: the program accepts each command line in them, and they name only what exists.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use regex::Regex;
use serde_json::Value;
use tempfile::TempDir;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of `jobs/deploy`.
fn text(name: &str) -> String {
    let path = root().join("jobs/deploy").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The files below `folder`, whatever folder of it they are in.
fn files(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder)
        .unwrap()
        .flat_map(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() { files(&path) } else { vec![path] }
        })
        .collect()
}

/// The documents of a YAML file, in order.
fn documents(text: &str) -> Vec<Value> {
    text.split("\n---\n")
        .filter(|document| document.lines().any(|line| !line.is_empty() && !line.starts_with('#')))
        .map(|document| serde_saphyr::from_str::<Value>(document).unwrap_or_else(|e| panic!("{e}\n{document}")))
        .collect()
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

fn cron_job() -> Value {
    documents(&text("kubernetes/cronjob.yaml")).into_iter().find(|document| document["kind"] == "CronJob").unwrap()
}

fn shards() -> Value {
    documents(&text("kubernetes/shards.yaml")).into_iter().find(|document| document["kind"] == "Job").unwrap()
}

fn workers(kind: &str) -> Value {
    documents(&text("kubernetes/workers.yaml")).into_iter().find(|document| document["kind"] == kind).unwrap()
}

fn container_apps() -> Value {
    documents(&text("azure/container-apps-job.yaml")).remove(0)
}

/// A list of the DAG, with what Airflow would put into it.
fn dag_list(name: &str) -> Vec<String> {
    let text = text("airflow/lakehunt_dag.py");
    let (_, rest) = text.split_once(&format!("\n{name} = [\n")).unwrap_or_else(|| panic!("the DAG has no {name}"));
    let (list, _) = rest.split_once("\n]").unwrap();
    list.split('"')
        .skip(1)
        .step_by(2)
        .map(|argument| match argument {
            "{{ dag_run.run_after.isoformat() }}" => "2026-01-02T02:30:00+00:00".to_owned(),
            "{{ params['from'] }}" => "2023-01-01".to_owned(),
            "{{ params['to'] }}" => "2026-01-01".to_owned(),
            other => {
                assert!(!other.contains("{{"), "nothing stands for {other} in this test");
                other.to_owned()
            }
        })
        .collect()
}

/// Every command line after `lakehunt`, with where it stands.
fn command_lines() -> Vec<(&'static str, Vec<String>)> {
    let container = |pod: &Value| strings(&pod["spec"]["containers"][0]["args"]);
    let mut lines = vec![("cronjob.yaml", container(&cron_job()["spec"]["jobTemplate"]["spec"]["template"]))];

    let shards = shards();
    for index in 0..shards["spec"]["completions"].as_u64().unwrap() {
        let line = container(&shards["spec"]["template"])
            .iter()
            .map(|argument| argument.replace("$(JOB_COMPLETION_INDEX)", &index.to_string()))
            .collect();
        lines.push(("shards.yaml", line));
    }

    lines.push(("workers.yaml", container(&workers("CronJob")["spec"]["jobTemplate"]["spec"]["template"])));

    let unit = text("systemd/lakehunt.service").replace("\\\n", " ");
    for line in unit.lines().filter_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/lakehunt ")) {
        lines.push(("lakehunt.service", line.split_whitespace().map(str::to_owned).collect()));
    }

    let job = container_apps();
    lines.push(("container-apps-job.yaml", strings(&job["properties"]["template"]["containers"][0]["args"])));

    lines.push(("lakehunt_dag.py", dag_list("NIGHTLY")));
    for index in 0..8 {
        let mut line = dag_list("RETROSPECTIVE");
        line.extend(["--shard".to_owned(), format!("{index}/8")]);
        lines.push(("lakehunt_dag.py", line));
    }
    lines
}

/// The program, with nothing set that could decide a test.
fn lakehunt() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lakehunt"));
    command.current_dir(root());
    for (name, _) in std::env::vars() {
        if ["LAKEHUNT_", "OTEL_"].iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command
}

#[test]
fn the_program_accepts_each_command_line() {
    let dir = TempDir::new().unwrap();
    let source = dir.path().join("lake");
    std::fs::create_dir(&source).unwrap();
    let lines = command_lines();
    for name in ["cronjob.yaml", "shards.yaml", "lakehunt.service", "container-apps-job.yaml", "lakehunt_dag.py"] {
        assert!(lines.iter().any(|(from, _)| *from == name), "{name} has no command line");
    }
    for (name, mut line) in lines {
        assert_eq!(line[0], "run", "{name}: {line:?}");
        assert!(root().join("jobs").join(format!("{}.yaml", line[1])).is_file(), "{name}: there is no job {}", line[1]);
        if let Some(at) = line.iter().position(|argument| argument == "--worker-ca") {
            line[at + 1] = root().join("Cargo.toml").display().to_string();
        }
        if let Some(at) = line.iter().position(|argument| argument == "--metrics-file") {
            line[at + 1] = dir.path().join("metrics.prom").display().to_string();
        }
        let output = lakehunt()
            .args(&line)
            .arg("--dry-run")
            .arg("--source")
            .arg(&source)
            .arg("--output")
            .arg(dir.path().join("out"))
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!stderr.contains("unexpected argument"), "{name}: {line:?}\n{stderr}");
        assert_ne!(output.status.code(), Some(2), "{name}: {line:?}\n{stderr}");
    }
}

#[test]
fn the_manifests_are_what_they_say() {
    for file in files(&root().join("jobs/deploy")) {
        if file.extension().is_some_and(|ending| ending == "yaml") {
            assert!(!documents(&std::fs::read_to_string(&file).unwrap()).is_empty(), "{}", file.display());
        }
    }

    let nightly = &cron_job()["spec"];
    assert_eq!(nightly["concurrencyPolicy"], "Forbid");
    assert_eq!(nightly["timeZone"], "Etc/UTC");

    let shards = &shards()["spec"];
    assert_eq!(shards["completionMode"], "Indexed");
    let args = strings(&shards["template"]["spec"]["containers"][0]["args"]);
    assert_eq!(args.last().unwrap(), &format!("$(JOB_COMPLETION_INDEX)/{}", shards["completions"]));

    for spec in [&nightly["jobTemplate"]["spec"], shards] {
        assert_eq!(spec["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"], serde_json::json!([2]));
        let pod = &spec["template"]["spec"];
        assert_eq!(pod["restartPolicy"], "Never", "podFailurePolicy wants it");
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        let container = &pod["containers"][0];
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
        assert_eq!(container["volumeMounts"][0]["mountPath"], "/tmp", "where the engine spills");
    }

    let configuration = &container_apps()["properties"]["configuration"];
    assert_eq!(configuration["triggerType"], "Schedule");
    assert_eq!(configuration["scheduleTriggerConfig"]["cronExpression"], nightly["schedule"]);

    let unit = text("systemd/lakehunt.service");
    for line in ["Type=oneshot", "RestartPreventExitStatus=2", "SuccessExitStatus=143", "ProtectSystem=strict"] {
        assert!(unit.lines().any(|found| found == line), "the service has no {line}");
    }
    assert!(text("systemd/lakehunt.timer").lines().any(|line| line == "Persistent=true"));
    assert!(text("airflow/lakehunt_dag.py").contains("\nSHARDS = 8\n"), "command_lines() counts on it");
}

#[test]
fn the_workers_are_where_the_run_looks_for_them() {
    let (service, set, year) = (workers("Service"), workers("StatefulSet"), workers("CronJob"));
    assert_eq!(service["spec"]["clusterIP"], "None");
    let name = service["metadata"]["name"].as_str().unwrap();
    let port = service["spec"]["ports"][0]["port"].as_u64().unwrap();
    assert_eq!(set["spec"]["serviceName"], name);
    let selected = &set["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"];
    assert_eq!(&service["spec"]["selector"]["app.kubernetes.io/name"], selected);
    let worker = &set["spec"]["template"]["spec"]["containers"][0];
    let args = strings(&worker["args"]);
    let after = |args: &[String], flag: &str| args[args.iter().position(|found| found == flag).unwrap() + 1].clone();
    assert_eq!(after(&args, "--listen"), format!("0.0.0.0:{port}"));
    assert_eq!(after(&args, "--worker-name"), name, "certificates are for the name of the service");
    let run = &year["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(after(&strings(&run["args"]), "--workers"), format!("dns://{name}:{port}"));
    assert_eq!(run["image"], worker["image"], "they have to be of one version");
}

/// The files that the example mounts do not exist here, so a worker that takes its flags complains of those.
#[test]
fn the_program_accepts_the_workers_command_line() {
    let args = strings(&workers("StatefulSet")["spec"]["template"]["spec"]["containers"][0]["args"]);
    let output = lakehunt().args(&args).env("LAKEHUNT_WORKER_TOKEN", "token").output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("the file cannot be read") && stderr.contains("/tls/"), "{stderr}");
}

#[test]
fn the_image_holds_what_the_repository_has() {
    let dockerfile = text("Dockerfile");
    let image = format!("FROM rust:{}-slim-", env!("CARGO_PKG_RUST_VERSION"));
    assert!(dockerfile.contains(&image), "the builder is another Rust than Cargo.toml's");
    assert!(dockerfile.lines().any(|line| line == r#"ENTRYPOINT ["lakehunt"]"#));
    let ignore = text("Dockerfile.dockerignore");
    let kept: BTreeSet<&str> = ignore.lines().filter_map(|line| line.strip_prefix('!')).collect();
    let mut copied = BTreeSet::new();
    for line in dockerfile.lines().filter_map(|line| line.strip_prefix("COPY ")) {
        if !line.starts_with("--from=") {
            let words: Vec<&str> = line.split_whitespace().collect();
            copied.extend(words[..words.len() - 1].iter().copied());
        }
    }
    assert_eq!(copied, kept, "what is copied is what the ignore file lets through");
    for name in copied {
        assert!(root().join(name).exists(), "{name} is copied and does not exist");
    }
}

#[test]
fn each_variable_is_one_of_run() {
    let help = lakehunt().args(["run", "--help"]).output().unwrap();
    // The help may break a line inside the brackets.
    let help = String::from_utf8_lossy(&help.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    let variable = Regex::new("LAKEHUNT_[A-Z_]+").unwrap();
    for file in files(&root().join("jobs/deploy")) {
        let text = std::fs::read_to_string(&file).unwrap();
        for name in variable.find_iter(&text).map(|found| found.as_str()) {
            // The token has no flag that it could stand for.
            let known = ["LAKEHUNT_HOME", "LAKEHUNT_LOG", "LAKEHUNT_WORKER_TOKEN"].contains(&name)
                || help.contains(&format!("[env: {name}="));
            assert!(known, "{}: `run` knows no {name}", file.display());
        }
    }
}
