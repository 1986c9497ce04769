//! From a connector's folder to its component.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::error::Error;

/// What Rust is compiled to.
const TARGET: &str = "wasm32-unknown-unknown";
/// The file of a folder whose connector another tool builds: its script `build` leaves `<network>.wasm`.
const PACKAGE_JSON: &str = "package.json";
/// The file of a folder whose connector componentize-py builds: the module of its class `Connector`.
const CONNECTOR_PY: &str = "connector.py";
/// The program that makes Python into a component.
pub(crate) const COMPONENTIZE_PY: &str = "componentize-py";
/// What it writes into the folder.
const BUILT_PYTHON: &str = "connector.wasm";
/// The file of a folder whose connector Go builds.
const GO_MOD: &str = "go.mod";
/// The program that makes Go into a module.
pub(crate) const GO: &str = "go";
/// What it writes into the folder.
const BUILT_GO: &str = "core.wasm";

/// Where a connector comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A component's file, taken as it is.
    File(PathBuf),
    /// A folder that is built.
    Folder(PathBuf),
}

impl Source {
    /// What a path names: a file is a component, a folder is built.
    ///
    /// # Errors
    /// A folder that holds nothing that can be built.
    pub fn of(path: &Path) -> Result<Self, Error> {
        if path.is_file() {
            return Ok(Self::File(path.to_owned()));
        }
        let is_source = ["Cargo.toml", PACKAGE_JSON, CONNECTOR_PY, GO_MOD].iter().any(|file| path.join(file).is_file());
        if is_source { Ok(Self::Folder(path.to_owned())) } else { Err(Error::NoSource { path: path.to_owned() }) }
    }

    /// The folder of its fixtures unless another one is named: beside the sources, or beside the file.
    pub fn fixtures(&self) -> PathBuf {
        match self {
            Self::Folder(folder) => folder.join("fixtures"),
            Self::File(file) => file.with_file_name("fixtures"),
        }
    }
}

/// The component's bytes, and the name for it in errors. A folder is built by the tool of its language, whose messages go to
/// standard error.
///
/// # Errors
/// A file that can't be read, or a build that fails.
pub fn build(source: &Source) -> Result<(Vec<u8>, String), Error> {
    let folder = match source {
        Source::File(file) => {
            let bytes = std::fs::read(file).map_err(Error::read(file))?;
            return Ok((bytes, file.display().to_string()));
        }
        Source::Folder(folder) => folder,
    };
    let has = |file: &str| folder.join(file).is_file();
    let bytes = if has("Cargo.toml") {
        rust(folder)?
    } else if has(PACKAGE_JSON) {
        npm(folder)?
    } else if has(CONNECTOR_PY) {
        python(folder)?
    } else {
        go(folder)?
    };
    Ok((bytes, folder.display().to_string()))
}

/// A Rust package as a component.
fn rust(folder: &Path) -> Result<Vec<u8>, Error> {
    let package = Package::of(folder)?;
    let mut arguments = vec!["build", "--target", TARGET, "--lib"];
    arguments.extend(if package.has_guest_profile { ["--profile", "guest"] } else { ["--profile", "release"] });
    run(folder, Command::new("cargo").args(&arguments))?;
    let profile = if package.has_guest_profile { "guest" } else { "release" };
    let file = format!("{}.wasm", package.library);
    let core = package.target.join(TARGET).join(profile).join(file);
    let module = std::fs::read(&core).map_err(Error::read(&core))?;
    let mut encoder = ComponentEncoder::default();
    let encoded = encoder.validate(true).module(&module).and_then(|encoder| encoder.encode());
    encoded.map_err(|error| no_connector(folder, &format!("{error:#}")))
}

/// The error about a module that can't be made into a component.
fn no_connector(folder: &Path, error: &str) -> Error {
    Error::Build { path: folder.to_owned(), what: format!("its module is no connector: {error}") }
}

/// What `cargo metadata` says of a package.
struct Package {
    library: String,
    target: PathBuf,
    has_guest_profile: bool,
}

impl Package {
    fn of(folder: &Path) -> Result<Self, Error> {
        let wrong = |what: &str| Error::Build { path: folder.to_owned(), what: what.to_owned() };
        let output = Command::new("cargo")
            .args(["metadata", "--format-version", "1", "--no-deps"])
            .current_dir(folder)
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| wrong(&format!("cargo can't be run: {error}")))?;
        if !output.status.success() {
            return Err(wrong("`cargo metadata` fails"));
        }
        let facts: Value = serde_json::from_slice(&output.stdout).map_err(|error| wrong(&error.to_string()))?;
        let manifest = folder.join("Cargo.toml");
        let manifest = manifest.canonicalize().map_err(Error::read(&manifest))?;
        let text = |value: &Value| value.as_str().map(PathBuf::from);
        let is_this = |package: &&Value| {
            text(&package["manifest_path"]).and_then(|path| path.canonicalize().ok()).as_ref() == Some(&manifest)
        };
        let package = facts["packages"].as_array().into_iter().flatten().find(is_this);
        let targets = package.and_then(|package| package["targets"].as_array()).into_iter().flatten();
        let is_component = |target: &&Value| {
            target["crate_types"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "cdylib"))
        };
        let library = targets.into_iter().find(is_component).and_then(|target| target["name"].as_str());
        let library = library.ok_or_else(|| wrong("its Cargo.toml has no library with `crate-type = [\"cdylib\"]`"))?;
        let root = text(&facts["workspace_root"]).ok_or_else(|| wrong("it has no workspace"))?.join("Cargo.toml");
        let root = std::fs::read_to_string(&root).map_err(Error::read(&root))?;
        Ok(Self {
            library: library.replace('-', "_"),
            target: text(&facts["target_directory"]).ok_or_else(|| wrong("it has no target directory"))?,
            has_guest_profile: root.contains("[profile.guest]"),
        })
    }
}

/// A package of npm as a component: the script `build` writes the only `.wasm` of the folder. Its tools are installed first.
fn npm(folder: &Path) -> Result<Vec<u8>, Error> {
    if !folder.join("node_modules").exists() {
        run(folder, Command::new("npm").args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]))?;
    }
    run(folder, Command::new("npm").args(["run", "--silent", "build"]))?;
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::read(folder))? {
        let path = entry.map_err(Error::read(folder))?.path();
        if path.extension().is_some_and(|extension| extension == "wasm") {
            found.push(path);
        }
    }
    match &found[..] {
        [file] => std::fs::read(file).map_err(Error::read(file)),
        found => {
            let what = format!("`npm run build` leaves {} files *.wasm, not one", found.len());
            Err(Error::Build { path: folder.to_owned(), what })
        }
    }
}

/// Python modules as a component, by the componentize-py of the folder's `.venv` if it has one, else by that of the path.
fn python(folder: &Path) -> Result<Vec<u8>, Error> {
    let mut tool = tool_of(folder, COMPONENTIZE_PY)?;
    tool.args(["--quiet", "--wit-path", "wit", "--world", "network"]);
    // Without WASI: a connector that asks for the time or for a file traps instead of getting nothing.
    tool.args(["componentize", "connector", "--python-path", ".", "--stub-wasi", "--output", BUILT_PYTHON]);
    run(folder, &mut tool)?;
    let built = folder.join(BUILT_PYTHON);
    std::fs::read(&built).map_err(Error::read(&built))
}

/// A Go module as a component, by the Go of the folder's `.venv` if it has one, else by that of the path.
fn go(folder: &Path) -> Result<Vec<u8>, Error> {
    let mut tool = tool_of(folder, GO)?;
    tool.env("GOOS", "wasip1").env("GOARCH", "wasm");
    // The same bytes from the same sources: without paths, and without the state of a repository.
    tool.args(["build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false"]);
    // Without symbols, and with what the bindings' allocator takes of Go's own.
    tool.args(["-ldflags=-s -w -checklinkname=0", "-o", BUILT_GO, "."]);
    run(folder, &mut tool)?;
    let core = folder.join(BUILT_GO);
    let module = std::fs::read(&core).map_err(Error::read(&core))?;
    adapted(module, &folder.join("wit")).map_err(|error| no_connector(folder, &error))
}

/// A module for WASI's first preview, which knows nothing of components, as a component of the contract in `wit`.
fn adapted(mut module: Vec<u8>, wit: &Path) -> Result<Vec<u8>, String> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit).map_err(|error| format!("{error:#}"))?;
    let world = resolve.select_world(&[package], Some("network")).map_err(|error| format!("{error:#}"))?;
    let embedded = embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8);
    embedded.map_err(|error| format!("{error:#}"))?;
    let mut encoder = ComponentEncoder::default();
    let encoded = encoder
        .validate(true)
        .module(&module)
        .and_then(|encoder| {
            encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)
        })
        .and_then(|encoder| encoder.encode());
    encoded.map_err(|error| format!("{error:#}"))
}

/// A program of the folder's `.venv` if it has one, else of the path.
fn tool_of(folder: &Path, program: &str) -> Result<Command, Error> {
    // Absolute: it is run in the folder.
    let environment = std::path::absolute(folder.join(".venv")).map_err(Error::read(folder))?;
    let own = environment.join("bin").join(program);
    if !own.is_file() {
        return Ok(Command::new(program));
    }
    let mut tool = Command::new(own);
    // Packages that are installed beside it can be imported.
    tool.env("VIRTUAL_ENV", environment);
    Ok(tool)
}

/// Runs a tool in the folder. What it prints goes to standard error: standard output is for data.
fn run(folder: &Path, tool: &mut Command) -> Result<(), Error> {
    let wrong = |what: String| Error::Build { path: folder.to_owned(), what };
    tool.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::from(std::io::stderr()));
    let status = tool.status();
    let name = tool.get_program().to_string_lossy();
    if status.map_err(|error| wrong(format!("{name} can't be run: {error}")))?.success() {
        return Ok(());
    }
    let arguments: Vec<_> = tool.get_args().map(OsStr::to_string_lossy).collect();
    Err(wrong(format!("`{name} {}` fails", arguments.join(" "))))
}
