//! The clients of the API in `clients`, and the sample app for Zapier. What their READMEs show is what is run here.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::SystemTime,
};

use harness::{BOOK_EVENTS, DEADLINE, Database, Receiver, SECRET, rowhook};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use crate::api::{Api, server};

const RECIPE: &str = include_str!("../../docs/book/recipes/zapier.md");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What is in target/generators at this path.
fn installed(path: &str) -> PathBuf {
    let path = root().join("target/generators").join(path);
    assert!(path.exists(), "{path:?} is not there; run: make generators");
    path
}

/// What a command prints, once it has succeeded.
async fn succeeded(mut command: Command) -> String {
    let shown = format!("{:?}", command.as_std());
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    // Generators and compilers compute for seconds, which are minutes on a machine that is busy with other work.
    let output = timeout(5 * DEADLINE, output).await;
    let output: Output = output
        .unwrap_or_else(|_| panic!("{shown} never ended"))
        .unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{shown}:\n{out}\n{err}");
    out
}

/// The blocks of a language in the README of a client: the first shows its use, the second is a whole program.
fn shown(client: &str, language: &str) -> [String; 2] {
    let readme = fs::read_to_string(root().join(format!("clients/{client}/README.md"))).unwrap();
    let begin = format!("```{language}\n");
    let blocks = readme.split(&begin).skip(1);
    let blocks: Vec<String> = blocks
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect();
    blocks.try_into().unwrap()
}

/// The bookstore of a story, whose API clients speak with in the name of user 7.
struct Shop {
    database: Database,
    api: Api,
    token: String,
    receiver: Receiver,
}

impl Shop {
    async fn open() -> Self {
        let database = Database::bookstore().await;
        let config = format!("{BOOK_EVENTS}{}", server(""));
        let api = Api::start(&database.config(&config)).await;
        let token = api.token("7", "write").await;
        let receiver = Receiver::start().await;
        Self {
            database,
            api,
            token,
            receiver,
        }
    }

    /// A block of a README with this rowhook and this receiver in place of those that it names.
    fn here(&self, block: &str) -> String {
        let block = block.replace("https://hooks.example.com", &self.api.base);
        block.replace("https://example.com/hook", &self.receiver.url())
    }

    fn lend(&self, command: &mut Command) {
        command.env("ROWHOOK_URL", &self.api.base);
        command.env("ROWHOOK_TOKEN", &self.token);
    }

    /// Runs what a README shows first: it makes a hook, and lists hooks.
    async fn uses(&self, mut command: Command) {
        self.lend(&mut command);
        let out = succeeded(command).await;
        assert!(out.contains("book.added active"), "{out}");
        self.database.sql("delete from rowhook.hook").await;
    }

    /// Runs the program of a README: it makes a hook, believes what rowhook sends and nobody else, and deletes it.
    async fn hears(&self, mut command: Command) {
        self.lend(&mut command);
        let child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn();
        let mut program = Program::of(child.unwrap());
        let made = program.line().await;
        let target = made.split(" at ").nth(1).unwrap();
        assert_eq!(forged(target).await, 401);
        self.database
            .sql("insert into book values (1, 8, 1, 'Emma', 9), (2, 7, 1, 'Dune', 9)")
            .await;
        assert_eq!(program.line().await, "heard Dune");
        assert!(program.ended_well().await);
        assert_eq!(self.hooks().await, "0");
    }

    async fn hooks(&self) -> String {
        self.database.ask("select count(*) from rowhook.hook").await
    }
}

/// How a request is answered whose signature was made with another key.
async fn forged(target: &str) -> u16 {
    let webhook = standardwebhooks::Webhook::new(SECRET).unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.unwrap().as_secs();
    let body = r#"{"data": {"title": "Forged"}}"#;
    let signature = webhook.sign("msg_1", now.try_into().unwrap(), body.as_bytes());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client
        .post(target)
        .header("webhook-id", "msg_1")
        .header("webhook-timestamp", now.to_string())
        .header("webhook-signature", signature.unwrap())
        .body(body);
    request.send().await.unwrap().status().as_u16()
}

/// A program that runs, line by line.
struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    fn of(mut child: Child) -> Self {
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    async fn line(&mut self) -> String {
        let line = timeout(DEADLINE, self.lines.next_line()).await;
        let line = line.expect("it prints another line").unwrap();
        line.expect("it has not ended")
    }

    async fn ended_well(mut self) -> bool {
        let ended = timeout(DEADLINE, self.child.wait()).await;
        ended.expect("it ends").unwrap().success()
    }
}

/// The files below a folder that `is_wanted`, by their paths in it.
fn files(folder: &Path, is_wanted: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap();
            if path.is_dir() {
                folders.push(path);
            } else if is_wanted(name) {
                files.insert(name.to_owned(), fs::read_to_string(&path).unwrap());
            }
        }
    }
    files
}

/// Whether a file of the sample app is a part of it, and not of what it is made with.
fn is_source(name: &str) -> bool {
    name.ends_with(".js") && !name.starts_with("node_modules/")
}

/// Whether a file of `clients` is generated.
fn is_generated(name: &str) -> bool {
    let by_hand = ["go/open.go", "go/verify.go"];
    match name.split_once('/') {
        Some(("typescript", name)) => name == "src/schema.ts",
        Some(("python", rest)) => rest.starts_with("rowhook_client/") && !rest.ends_with(".pyc"),
        Some(("go", rest)) => rest.ends_with(".go") && !by_hand.contains(&name),
        _ => false,
    }
}

#[tokio::test]
async fn the_clients_are_what_the_generators_make_of_the_api() {
    let document = rowhook("", &["schema", "--api"]);
    assert_eq!(document.code, 0, "{}", document.err);
    let clients = root().join("clients");
    let committed = fs::read_to_string(clients.join("openapi.json")).unwrap();
    assert!(
        document.out == committed,
        "clients/openapi.json is not the document of the API; run: make clients"
    );

    installed("go/built");
    let folder = tempfile::tempdir().unwrap();
    let mut generate = Command::new(root().join("scripts/generate-clients"));
    generate.arg(folder.path());
    succeeded(generate).await;
    let committed = files(&clients, is_generated);
    let generated = files(folder.path(), is_generated);
    let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&committed), names(&generated), "run: make clients");
    for (name, text) in &generated {
        assert!(committed[name] == *text, "{name}; run: make clients");
    }
    assert!(generated.len() > 50, "{:?}", names(&generated));
}

#[tokio::test]
async fn a_program_in_python_makes_a_hook_and_hears_it() {
    let shop = Shop::open().await;
    let folder = tempfile::tempdir().unwrap();
    let [first, whole] = shown("python", "python");
    let run = |name: &str, text: &str| {
        let file = folder.path().join(name);
        fs::write(&file, shop.here(text)).unwrap();
        let mut python = Command::new(installed("python/bin/python"));
        python.arg(file);
        python.env("PYTHONPATH", root().join("clients/python"));
        python.env("PYTHONDONTWRITEBYTECODE", "1");
        python
    };
    let refused = "from rowhook_client.api.hooks import show_hook\n\
        problem = show_hook.sync(\"nobody\", client=client)\n\
        assert isinstance(problem, Problem) and problem.status == 404\n";
    shop.uses(run("use.py", &(first + refused))).await;
    shop.hears(run("program.py", &whole)).await;
}

#[tokio::test]
async fn a_program_in_typescript_makes_a_hook_and_hears_it() {
    let shop = Shop::open().await;
    let here = installed("typescript");
    let tsc = here.join("node_modules/.bin/tsc");
    // As the package is built and installed: its sources are compiled beside its dependencies, into node_modules.
    let package = here.join("node_modules/rowhook-client");
    let sources = here.join("rowhook-client");
    for name in [
        "package.json",
        "tsconfig.json",
        "src/index.ts",
        "src/schema.ts",
    ] {
        for folder in [&package, &sources] {
            let file = folder.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            if folder == &sources || name == "package.json" {
                fs::copy(root().join("clients/typescript").join(name), file).unwrap();
            }
        }
    }
    let mut build = Command::new(&tsc);
    build.arg("--project").arg(&sources);
    build.arg("--outDir").arg(package.join("dist"));
    succeeded(build).await;

    let programs = here.join("programs");
    fs::create_dir_all(&programs).unwrap();
    // Without one of its own, it would belong to the package around it, which has the name of the client.
    fs::write(programs.join("package.json"), r#"{"type": "module"}"#).unwrap();
    let [first, whole] = shown("typescript", "ts");
    let refused = "const path = { id: \"nobody\" };\n\
        const { error } = await rowhook.GET(\"/api/hooks/{id}\", { params: { path } });\n\
        if (error?.status !== 404) throw new Error(error?.detail);\n";
    for (name, text) in [("use.mts", first + refused), ("program.mts", whole)] {
        fs::write(programs.join(name), shop.here(&text)).unwrap();
    }
    let mut compile = Command::new(&tsc);
    compile.current_dir(&programs);
    compile.args([
        "--module",
        "nodenext",
        "--target",
        "es2022",
        "--strict",
        "--types",
        "node",
        "--skipLibCheck",
    ]);
    compile.args(["use.mts", "program.mts"]);
    succeeded(compile).await;
    let run = |name: &str| {
        let mut node = Command::new("node");
        node.arg(programs.join(name));
        node
    };
    shop.uses(run("use.mjs")).await;
    shop.hears(run("program.mjs")).await;
}

#[tokio::test]
async fn a_program_in_go_makes_a_hook_and_hears_it() {
    let shop = Shop::open().await;
    installed("go/built");
    let folder = tempfile::tempdir().unwrap();
    let [first, whole] = shown("go", "go");
    let first = format!(
        "package main\nimport (\"context\"; \"errors\"; \"fmt\"; \"log\"; \"os\"; \"rowhook\")\n\
         func main() {{ if err := use(context.Background()); err != nil {{ log.Fatal(err) }} }}\n\
         func use(ctx context.Context) error {{\n{first}\n\
         _, _, refused := client.HooksAPI.ShowHook(ctx, \"nobody\").Execute()\n\
         var answered *rowhook.GenericOpenAPIError\n\
         if errors.As(refused, &answered) && answered.Model().(rowhook.Problem).Status == 404 {{ return nil }}\n\
         return refused }}\n"
    );
    for (name, text) in [("use", first), ("program", whole)] {
        let package = folder.path().join(name);
        fs::create_dir(&package).unwrap();
        fs::write(package.join("main.go"), shop.here(&text)).unwrap();
    }
    let module = format!(
        "module example\ngo 1.21\nrequire rowhook v0.0.0\nreplace rowhook => {}\n",
        root().join("clients/go").display()
    );
    fs::write(folder.path().join("go.mod"), module).unwrap();
    let mut build = Command::new(root().join("scripts/go"));
    build.current_dir(folder.path());
    build.args(["build", "-o", "bin/", "./..."]);
    succeeded(build).await;
    shop.uses(Command::new(folder.path().join("bin/use"))).await;
    shop.hears(Command::new(folder.path().join("bin/program")))
        .await;
}

#[tokio::test]
async fn the_sample_app_for_zapier_is_valid_and_passes_its_test() {
    let shop = Shop::open().await;
    let app = installed("zapier");
    let sources = files(&root().join("examples/zapier"), is_source);
    let recipe = RECIPE.split_once("```js\n").unwrap().1;
    for function in recipe.split_once("```").unwrap().0.split("\n\n") {
        let shown = sources["triggers/event.js"].contains(function.trim());
        assert!(shown, "{function} is not in examples/zapier");
    }
    for (name, text) in sources {
        let file = app.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    let mut validate = Command::new("node");
    validate.arg("validate.js").current_dir(&app);
    assert!(succeeded(validate).await.ends_with("\nvalid\n"));

    let mut test = Command::new("node");
    test.args(["--test", "test/app.test.js"]).current_dir(&app);
    test.env("EVENT", "book.added");
    shop.lend(&mut test);
    let out = succeeded(test).await;
    assert!(out.contains("pass 4"), "{out}");
    assert_eq!(shop.hooks().await, "0");
}
