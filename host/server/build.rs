//! Embeds the console, where the feature of that name is on.

fn main() {
    // Nothing else that is in this folder: it also holds what npm installs.
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=console/dist");
    #[cfg(feature = "console")]
    match std::fs::exists("console/dist/index.html") {
        Ok(true) => memory_serve::load_directory_with_embed("console/dist", true),
        _ => println!("cargo::error=the feature `console` embeds what isn't built yet: run `just console`"),
    }
}
