//! A new connector's folder, from templates in the binary.

use std::path::{Path, PathBuf};

use crate::error::Error;

/// The network of the templates.
const TEMPLATE: &str = "brightlink";
const TEMPLATE_TITLE: &str = "Brightlink";

/// In what a connector is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// `network.toml`, without code.
    Declared,
    /// A crate that depends on the SDK.
    Rust,
    /// JavaScript, made into a component by componentize-js.
    JavaScript,
    /// Python, made into a component by componentize-py.
    Python,
    /// Go, compiled for WASI's first preview and adapted.
    Go,
}

impl Language {
    /// Whether a connector in it depends on the SDK. Else what it needs of one is in its folder.
    pub fn has_sdk(self) -> bool {
        matches!(self, Self::Declared | Self::Rust)
    }

    fn own(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Declared => DECLARED,
            Self::Rust => RUST,
            Self::JavaScript => JAVASCRIPT,
            Self::Python => PYTHON,
            Self::Go => GO,
        }
    }

    /// What its tool doesn't make of the contract at every build.
    fn bindings(self) -> &'static [(&'static str, &'static str)] {
        if self == Self::Go { GO_BINDINGS } else { &[] }
    }

    fn shared(self) -> &'static [(&'static str, &'static str)] {
        if self.has_sdk() { &[] } else { WITHOUT_SDK }
    }
}

/// Where the SDK comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sdk {
    /// The repository's own, as all in `connectors/` have it.
    Workspace,
    /// A folder.
    Path(PathBuf),
    /// A Git repository.
    Git(String),
}

macro_rules! files {
    ($($path:literal from $template:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../templates/", $template)))),*]
    };
}

/// What all languages have.
const FIXTURES: &[(&str, &str)] = files![
    "README.md" from "README.md",
    "fixtures/slice.json" from "fixtures/slice.json",
    "fixtures/normal/response.json" from "fixtures/normal/response.json",
    "fixtures/normal/body" from "fixtures/normal/body",
    "fixtures/empty/response.json" from "fixtures/empty/response.json",
    "fixtures/empty/body" from "fixtures/empty/body",
    "fixtures/error-body/response.json" from "fixtures/error-body/response.json",
    "fixtures/error-body/body" from "fixtures/error-body/body",
    "fixtures/odd-rows/response.json" from "fixtures/odd-rows/response.json",
    "fixtures/odd-rows/body" from "fixtures/odd-rows/body",
    "fixtures/pages/1/response.json" from "fixtures/pages/1/response.json",
    "fixtures/pages/1/body" from "fixtures/pages/1/body",
    "fixtures/pages/2/response.json" from "fixtures/pages/2/response.json",
    "fixtures/pages/2/body" from "fixtures/pages/2/body",
];

const DECLARED: &[(&str, &str)] = files![
    "network.toml" from "declared/network.toml",
    "src/lib.rs" from "declared/lib.rs",
    "fixtures/plan.json" from "declared/plan.json",
    "fixtures/normal/expected.json" from "declared/normal.json",
    "fixtures/empty/expected.json" from "declared/empty.json",
    "fixtures/error-body/expected.json" from "declared/error-body.json",
    "fixtures/odd-rows/expected.json" from "declared/odd-rows.json",
    "fixtures/pages/expected.json" from "declared/pages.json",
];

const RUST: &[(&str, &str)] = files![
    "src/lib.rs" from "rust/lib.rs",
    "fixtures/plan.json" from "rust/plan.json",
    "fixtures/normal/expected.json" from "rust/normal.json",
    "fixtures/empty/expected.json" from "rust/empty.json",
    "fixtures/error-body/expected.json" from "rust/error-body.json",
    "fixtures/odd-rows/expected.json" from "rust/odd-rows.json",
    "fixtures/pages/expected.json" from "rust/pages.json",
];

const JAVASCRIPT: &[(&str, &str)] = files![
    "package.json" from "javascript/package.json",
    "package-lock.json" from "../../../tests/guests/javascript/package-lock.json",
    "connector.js" from "javascript/connector.js",
    "mapping.js" from "javascript/mapping.js",
    "columns.js" from "../../../tests/guests/javascript/columns.js",
    "values.js" from "../../../tests/guests/javascript/values.js",
    ".gitignore" from "javascript/gitignore",
];

const PYTHON: &[(&str, &str)] = files![
    "requirements.txt" from "python/requirements.txt",
    "connector.py" from "python/connector.py",
    "mapping.py" from "python/mapping.py",
    "columns.py" from "python/columns.py",
    "values.py" from "python/values.py",
    ".gitignore" from "python/gitignore",
];

const GO: &[(&str, &str)] = files![
    "requirements.txt" from "go/requirements.txt",
    "go.mod" from "go/go.mod",
    "main.go" from "go/main.go",
    "network/connector.go" from "go/network/connector.go",
    "network/mapping.go" from "go/network/mapping.go",
    "network/columns.go" from "go/network/columns.go",
    "network/values.go" from "go/network/values.go",
    ".gitignore" from "go/gitignore",
];

/// What wit-bindgen makes of the contract for Go, and what its code needs at run time.
const GO_BINDINGS: &[(&str, &str)] = files![
    "bindings/exports/export_sluice_connector_0_2_0_connector/connector.go"
        from "go/bindings/exports/export_sluice_connector_0_2_0_connector/connector.go",
    "bindings/exports/export_sluice_connector_0_2_0_connector/empty.s"
        from "go/bindings/exports/export_sluice_connector_0_2_0_connector/empty.s",
    "bindings/exports/wit_exports/wit_exports.go" from "go/bindings/exports/wit_exports/wit_exports.go",
    "bindings/imports/sluice_connector_0_1_0_columns/wit_bindings.go"
        from "go/bindings/imports/sluice_connector_0_1_0_columns/wit_bindings.go",
    "bindings/imports/sluice_connector_0_1_0_manifests/wit_bindings.go"
        from "go/bindings/imports/sluice_connector_0_1_0_manifests/wit_bindings.go",
    "bindings/imports/sluice_connector_0_1_0_requests/wit_bindings.go"
        from "go/bindings/imports/sluice_connector_0_1_0_requests/wit_bindings.go",
    "bindings/imports/sluice_connector_0_1_0_responses/empty.s"
        from "go/bindings/imports/sluice_connector_0_1_0_responses/empty.s",
    "bindings/imports/sluice_connector_0_1_0_responses/wit_bindings.go"
        from "go/bindings/imports/sluice_connector_0_1_0_responses/wit_bindings.go",
    "bindings/imports/sluice_connector_0_2_0_columns/wit_bindings.go"
        from "go/bindings/imports/sluice_connector_0_2_0_columns/wit_bindings.go",
    "bindings/imports/sluice_connector_0_2_0_manifests/wit_bindings.go"
        from "go/bindings/imports/sluice_connector_0_2_0_manifests/wit_bindings.go",
    "bindings/pkg/LICENSE" from "go/bindings/pkg/LICENSE",
    "bindings/pkg/go.mod" from "go/bindings/pkg/go.mod",
    "bindings/pkg/wit/runtime/empty.s" from "go/bindings/pkg/wit/runtime/empty.s",
    "bindings/pkg/wit/runtime/runtime.go" from "go/bindings/pkg/wit/runtime/runtime.go",
    "bindings/pkg/wit/types/option.go" from "go/bindings/pkg/wit/types/option.go",
    "bindings/pkg/wit/types/result.go" from "go/bindings/pkg/wit/types/result.go",
    "bindings/pkg/wit/types/tuple.go" from "go/bindings/pkg/wit/types/tuple.go",
];

/// What languages without an SDK have beside their modules: the contract, and what the connector does in each of them.
const WITHOUT_SDK: &[(&str, &str)] = files![
    "wit/connector.wit" from "../../../wit/v0.2/connector.wit",
    "wit/deps/v0.1/connector.wit" from "../../../wit/v0.1/connector.wit",
    "fixtures/plan.json" from "javascript/plan.json",
    "fixtures/normal/expected.json" from "javascript/normal.json",
    "fixtures/empty/expected.json" from "javascript/empty.json",
    "fixtures/error-body/expected.json" from "javascript/error-body.json",
    "fixtures/odd-rows/expected.json" from "javascript/odd-rows.json",
    "fixtures/pages/expected.json" from "javascript/pages.json",
];

/// The SDK of the repository that a folder is in, if it is in one: [`Sdk::Workspace`] in its `connectors/`, else its path.
pub fn sdk_of(folder: &Path) -> Option<Sdk> {
    let folder = std::path::absolute(folder).ok()?;
    let holds_sdk = |root: &&Path| {
        let manifest = std::fs::read_to_string(root.join("sdk/Cargo.toml"));
        manifest.is_ok_and(|manifest| manifest.contains("name = \"sluice-connector\""))
    };
    let root = folder.ancestors().skip(1).find(holds_sdk)?;
    let is_member = folder.parent() == Some(&root.join("connectors"));
    Some(if is_member { Sdk::Workspace } else { Sdk::Path(root.join("sdk")) })
}

/// Writes a new connector's folder, which must not exist. It builds, and passes its tests. `sdk` is for languages that
/// [have one](Language::has_sdk).
///
/// # Errors
/// A name that is none, or a folder that is there or can't be written.
pub fn create(folder: &Path, name: &str, language: Language, sdk: Option<&Sdk>) -> Result<(), Error> {
    if !is_network(name) {
        return Err(Error::Name { name: name.to_owned() });
    }
    if folder.exists() {
        return Err(Error::Exists { path: folder.to_owned() });
    }
    let write = |file: &str, text: &str| {
        let path = folder.join(file);
        let parent = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent).map_err(Error::write(parent))?;
        std::fs::write(&path, text).map_err(Error::write(&path))
    };
    let files = FIXTURES.iter().chain(language.own()).chain(language.bindings());
    for (file, text) in files.chain(language.shared()) {
        // The lock file's own network is another one.
        let text = if *file == "package-lock.json" { text.replace("papercup", name) } else { (*text).to_owned() };
        write(file, &text.replace(TEMPLATE, name).replace(TEMPLATE_TITLE, &title(name)))?;
    }
    let Some(sdk) = sdk.filter(|_| language.has_sdk()) else { return Ok(()) };
    write("Cargo.toml", &manifest(name, sdk))?;
    if *sdk != Sdk::Workspace {
        write(".gitignore", "/target\n")?;
    }
    // The versions that the SDK is tested with.
    if let Sdk::Path(sdk) = sdk
        && let Ok(lock) = std::fs::read_to_string(sdk.join("../Cargo.lock"))
    {
        write("Cargo.lock", &lock)?;
    }
    Ok(())
}

/// A network's id: `kebab-case`, as the name of a schema in SQL is made of it.
fn is_network(name: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    !name.is_empty() && name.len() <= 40 && name.split('-').all(|word| !word.is_empty() && word.chars().all(is_letter))
}

/// `bright-link` as `Bright Link`.
fn title(name: &str) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
    };
    name.split('-').map(capital).collect::<Vec<_>>().join(" ")
}

/// `Cargo.toml`.
fn manifest(name: &str, sdk: &Sdk) -> String {
    let library = "[lib]\ncrate-type = [\"cdylib\", \"rlib\"]\n";
    let source = match sdk {
        Sdk::Workspace => {
            return format!(
                "[package]\nname = \"connector-{name}\"\nversion = \"0.1.0\"\nedition.workspace = true\n\
                 rust-version.workspace = true\nlicense.workspace = true\npublish.workspace = true\n\n{library}\n\
                 [lints]\nworkspace = true\n\n[dependencies]\nsluice-connector.workspace = true\n"
            );
        }
        Sdk::Path(path) => format!("path = {:?}", path.display().to_string()),
        Sdk::Git(url) => format!("git = {url:?}"),
    };
    format!(
        "[package]\nname = \"connector-{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\npublish = false\n\n{library}\n\
         [dependencies]\nsluice-connector = {{ {source} }}\n\n\
         [profile.release]\ncodegen-units = 1\nlto = true\npanic = \"abort\"\nstrip = true\n\n\
         # It belongs to no other workspace.\n[workspace]\n"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_folder_is_made_once_and_names_nothing_of_the_template() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("shop-2");
        let sdk = Sdk::Path("/sluice/sdk".into());
        create(&folder, "shop-2", Language::Declared, Some(&sdk)).unwrap();
        let text = std::fs::read_to_string(folder.join("network.toml")).unwrap();
        assert!(text.contains("title = \"Shop 2\"") && text.contains("api.shop-2.example"), "{text}");
        assert!(!text.to_lowercase().contains(TEMPLATE));
        assert!(matches!(create(&folder, "shop-2", Language::Rust, Some(&sdk)), Err(Error::Exists { .. })));
        for name in ["", "Shop", "a_b", "a--b", "../x"] {
            let refused = create(&dir.path().join("other"), name, Language::Rust, Some(&sdk));
            assert!(matches!(refused, Err(Error::Name { .. })), "{name}");
        }
    }

    #[test]
    fn a_language_without_sdk_gets_no_manifest_of_cargo() {
        let dir = tempfile::tempdir().unwrap();
        let sdk = Sdk::Path("/sluice/sdk".into());
        for language in [Language::JavaScript, Language::Python, Language::Go] {
            let folder = dir.path().join(format!("{language:?}"));
            create(&folder, "shop-2", language, Some(&sdk)).unwrap();
            assert!(folder.join("wit/connector.wit").is_file() && !folder.join("Cargo.toml").exists());
        }
        let text = std::fs::read_to_string(dir.path().join("Python/connector.py")).unwrap();
        assert!(text.contains("title=\"Shop 2\"") && text.contains("api.shop-2.example"), "{text}");
        let text = std::fs::read_to_string(dir.path().join("Go/network/connector.go")).unwrap();
        assert!(text.contains("\"Shop 2\"") && text.contains("\"api.shop-2.example\""), "{text}");
    }

    #[test]
    fn the_sdk_of_the_repository_is_found() {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
        assert_eq!(sdk_of(&repository.join("connectors/new")), Some(Sdk::Workspace));
        assert_eq!(sdk_of(&repository.join("new")), Some(Sdk::Path(repository.join("sdk"))));
        assert_eq!(sdk_of(Path::new("/new")), None);
    }
}
