//! The functions in the documentation that verify a request by hand, each run in its language.

use std::{
    io::Write,
    process::{Command, Stdio},
    time::SystemTime,
};

use harness::SECRET;
use standardwebhooks::Webhook;

const DOCUMENTATION: &str = include_str!("../../docs/book/recipes/verifying.md");

/// A language: what its code block is called, the program that runs a file, and what calls the function with the
/// headers in the environment and the body on standard input.
const LANGUAGES: &[(&str, &str, &str)] = &[
    (
        "python",
        "python3",
        "import os, sys\nnames = ['webhook-id', 'webhook-timestamp', 'webhook-signature']\n\
         print(verify(os.environ['SECRET'], {name: os.environ[name] for name in names}, sys.stdin.buffer.read()))\n",
    ),
    (
        "js",
        "node",
        "console.log(verify(process.env.SECRET, process.env, require('node:fs').readFileSync(0)));\n",
    ),
    (
        "ruby",
        "ruby",
        "puts verify(ENV.fetch('SECRET'), ENV, STDIN.binmode.read)\n",
    ),
    (
        "php",
        "php",
        "echo verify(getenv('SECRET'), getenv(), file_get_contents('php://stdin')), \"\\n\";\n",
    ),
];

/// What a program printed of a request; `None`: it refused it.
fn verified(
    language: &(&str, &str, &str),
    signature: &str,
    timestamp: u64,
    body: &str,
) -> Option<String> {
    let (name, program, call) = language;
    let begin = format!("```{name}\n");
    let code = DOCUMENTATION.split_once(&begin).unwrap().1;
    let code = code.split_once("```").unwrap().0;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("verify.cjs");
    std::fs::write(&file, format!("{code}\n{call}")).unwrap();
    let child = Command::new(program)
        .arg(file)
        .env("SECRET", SECRET)
        .env("webhook-id", "msg_1")
        .env("webhook-timestamp", timestamp.to_string())
        .env("webhook-signature", signature)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{program}: {error}; run: make peers"));
    child
        .stdin
        .take()
        .unwrap()
        .write_all(body.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    let refused = ["no signature fits", "too far from now"];
    match output.status.success() {
        true => Some(String::from_utf8(output.stdout).unwrap()),
        false if refused.iter().any(|reason| said.contains(reason)) => None,
        false => panic!("{program}: {said}"),
    }
}

#[test]
fn what_is_documented_believes_rowhook_and_nobody_else() {
    let webhook = Webhook::new(SECRET).unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.unwrap().as_secs();
    let body = "{\"title\": \"Größe\"}";
    let sign = |at: u64| {
        webhook
            .sign("msg_1", at.try_into().unwrap(), body.as_bytes())
            .unwrap()
    };
    let signature = sign(now);
    let another = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    for language in LANGUAGES {
        let name = language.1;
        let verified =
            |signature: &str, at: u64, body: &str| verified(language, signature, at, body);
        let good = Some("msg_1\n".to_owned());
        assert_eq!(verified(&signature, now, body), good, "{name}");
        // While a secret is being replaced there are two, of which one fits.
        assert_eq!(
            verified(&format!("{another} {signature}"), now, body),
            good,
            "{name}"
        );
        assert_eq!(verified(another, now, body), None, "{name}");
        assert_eq!(verified(&signature, now, "{}"), None, "{name}");
        assert_eq!(verified(&signature, now - 60, body), None, "{name}");
        assert_eq!(
            verified(&sign(now - 3600), now - 3600, body),
            None,
            "{name}"
        );
    }
}
