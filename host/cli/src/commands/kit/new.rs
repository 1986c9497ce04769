//! `sluice new`: a connector's folder that builds and passes its tests.

use std::io::Write;
use std::path::{Path, PathBuf};

use sluice_kit::{Language, Sdk};
use sluice_runtime::failure::Failure;

use super::failed;
use crate::arguments::{LanguageArg, NewArgs};
use crate::commands::print_json;

/// Makes a folder.
///
/// # Errors
/// A name or a folder that can't be, or an SDK that isn't found.
pub(in crate::commands) fn new(args: &NewArgs, json: bool) -> Result<(), Failure> {
    let folder = args.into.clone().unwrap_or_else(|| default_folder(&args.name));
    let language = match args.language {
        LanguageArg::Declared => Language::Declared,
        LanguageArg::Rust => Language::Rust,
        LanguageArg::Javascript => Language::JavaScript,
        LanguageArg::Python => Language::Python,
        LanguageArg::Go => Language::Go,
    };
    let sdk = if language.has_sdk() { Some(sdk(args, &folder)?) } else { None };
    sluice_kit::create(&folder, &args.name, language, sdk.as_ref()).map_err(failed)?;
    if json {
        return print_json(&serde_json::json!({"network": args.name, "folder": folder}));
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "made {}", folder.display())?;
    Ok(writeln!(out, "next: sluice test {}", folder.display())?)
}

/// In a repository of connectors with the others, else here.
fn default_folder(name: &str) -> PathBuf {
    let here = PathBuf::from(name);
    let beside = Path::new("connectors").join(name);
    if sluice_kit::sdk_of(&beside) == Some(Sdk::Workspace) { beside } else { here }
}

fn sdk(args: &NewArgs, folder: &Path) -> Result<Sdk, Failure> {
    match args.sdk.as_deref() {
        Some(url) if url.contains("://") || url.ends_with(".git") => Ok(Sdk::Git(url.to_owned())),
        Some(path) => {
            let path = std::path::absolute(path)?;
            if path.join("Cargo.toml").is_file() {
                return Ok(Sdk::Path(path));
            }
            Err(Failure::usage(format!("{} is no folder of the SDK: it has no Cargo.toml", path.display()))
                .hint("`--sdk` names the folder `sdk` of Sluice's repository"))
        }
        None => sluice_kit::sdk_of(folder).ok_or_else(|| {
            Failure::usage(format!("{} is in no repository that has the SDK", folder.display()))
                .hint("add --sdk PATH: the folder `sdk` of Sluice's repository, or --sdk with its Git URL")
        }),
    }
}
