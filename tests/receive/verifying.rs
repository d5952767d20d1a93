//! The functions in the documentation that verify a request by hand, each run in its language.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::SystemTime,
};

use harness::SECRET;
use standardwebhooks::Webhook;

use crate::go;

const DOCUMENTATION: &str = include_str!("../../docs/book/recipes/verifying.md");

/// A language: what its code block is called, the program that runs it, and what calls the function with the headers in
/// the environment and the body on standard input.
struct Language {
    name: &'static str,
    program: &'static str,
    call: &'static str,
}

const LANGUAGES: &[Language] = &[
    Language {
        name: "python",
        program: "python3",
        call: "import os, sys\nnames = ['webhook-id', 'webhook-timestamp', 'webhook-signature']\n\
         print(verify(os.environ['SECRET'], {name: os.environ[name] for name in names}, sys.stdin.buffer.read()))\n",
    },
    Language {
        name: "js",
        program: "node",
        call: "console.log(verify(process.env.SECRET, process.env, require('node:fs').readFileSync(0)));\n",
    },
    Language {
        name: "ruby",
        program: "ruby",
        call: "puts verify(ENV.fetch('SECRET'), ENV, STDIN.binmode.read)\n",
    },
    Language {
        name: "php",
        program: "php",
        call: "echo verify(getenv('SECRET'), getenv(), file_get_contents('php://stdin')), \"\\n\";\n",
    },
    Language {
        name: "go",
        program: "scripts/go",
        call: r#"package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
)

func main() {
	headers := http.Header{}
	for _, name := range []string{"webhook-id", "webhook-timestamp", "webhook-signature"} {
		headers.Set(name, os.Getenv(name))
	}
	body, err := io.ReadAll(os.Stdin)
	if err != nil {
		log.Fatal(err)
	}
	id, err := verify(os.Getenv("SECRET"), headers, body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(id)
}
"#,
    },
];

impl Language {
    /// The function of the documentation.
    fn code(&self) -> &'static str {
        let begin = format!("```{}\n", self.name);
        let code = DOCUMENTATION.split_once(&begin).unwrap().1;
        code.split_once("```").unwrap().0
    }

    /// Writes the program into this folder, and returns what runs it.
    fn written(&self, folder: &Path) -> Vec<PathBuf> {
        if self.name == "go" {
            return vec![go::built(folder, &[self.code(), self.call])];
        }
        let file = folder.join("verify.cjs");
        std::fs::write(&file, format!("{}\n{}", self.code(), self.call)).unwrap();
        vec![self.program.into(), file]
    }
}

/// What a program printed of a request; `None`: it refused it.
fn verified(command: &[PathBuf], signature: &str, timestamp: u64, body: &str) -> Option<String> {
    let (program, args) = command.split_first().unwrap();
    let child = Command::new(program)
        .args(args)
        .env("SECRET", SECRET)
        .env("webhook-id", "msg_1")
        .env("webhook-timestamp", timestamp.to_string())
        .env("webhook-signature", signature)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{program:?}: {error}; run: make peers"));
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
        false => panic!("{program:?}: {said}"),
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
        let name = language.name;
        let folder = tempfile::tempdir().unwrap();
        let command = language.written(folder.path());
        let verified =
            |signature: &str, at: u64, body: &str| verified(&command, signature, at, body);
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
