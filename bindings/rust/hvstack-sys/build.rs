// SPDX-License-Identifier: MIT
//! Finds the C libraries: through pkg-config, or, with `HVSTACK_BUILD_DIR`, in the folder of a
//! build of them that was not installed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

fn pkg_config(arguments: &[&str]) -> Vec<String> {
    let program = env::var_os("PKG_CONFIG").unwrap_or_else(|| "pkg-config".into());
    let output = match Command::new(&program).args(arguments).output() {
        Ok(output) => output,
        Err(err) => panic!("can't run {}: {err}", program.to_string_lossy()),
    };
    assert!(
        output.status.success(),
        "pkg-config {arguments:?} failed; is the library installed, or HVSTACK_BUILD_DIR set?\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).expect("pkg-config writes UTF-8");
    text.split_whitespace().map(String::from).collect()
}

fn link(packages: &[String]) {
    let mut arguments = vec!["--libs"];
    arguments.extend(packages.iter().map(String::as_str));
    for flag in pkg_config(&arguments) {
        if let Some(folder) = flag.strip_prefix("-L") {
            println!("cargo:rustc-link-search=native={folder}");
        } else if let Some(library) = flag.strip_prefix("-l") {
            println!("cargo:rustc-link-lib={library}");
        }
    }
}

/// The source folder that a build was configured for.
fn source_of(build: &Path) -> PathBuf {
    let cache = build.join("CMakeCache.txt");
    let text = match fs::read_to_string(&cache) {
        Ok(text) => text,
        Err(err) => panic!("HVSTACK_BUILD_DIR: {}: {err}", cache.display()),
    };
    text.lines()
        .find_map(|line| line.strip_prefix("CMAKE_HOME_DIRECTORY:INTERNAL="))
        .map(PathBuf::from)
        .expect("CMakeCache.txt names the source folder")
}

/// Links static libraries, so that programs run wherever they are started.
fn link_build(build: &Path, libraries: &[String]) -> Vec<String> {
    let folder = build.join("lib");
    let mut others = Vec::new();

    println!("cargo:rustc-link-search=native={}", folder.display());
    for library in libraries {
        let file = folder.join(format!("lib{library}.a"));
        assert!(file.exists(), "{} is not there", file.display());
        println!("cargo:rerun-if-changed={}", file.display());
        println!("cargo:rustc-link-lib=static:-whole-archive={library}");
        let pc = build.join(format!("{library}.pc"));
        let text = fs::read_to_string(pc).expect("the build has pkg-config files");
        for line in text.lines() {
            if let Some(list) = line.strip_prefix("Requires.private:") {
                others.extend(list.split(',').map(|name| name.trim().to_string()));
            }
        }
    }
    others.retain(|name| !name.is_empty());
    others
}

fn main() {
    let feature = |name: &str| env::var_os(format!("CARGO_FEATURE_{name}")).is_some();
    let mut libraries = Vec::new();

    println!("cargo:rerun-if-env-changed=HVSTACK_BUILD_DIR");
    println!("cargo:rerun-if-env-changed=PKG_CONFIG");
    println!("cargo:rerun-if-env-changed=PKG_CONFIG_PATH");
    if feature("HOST") {
        libraries.push("hvstack-host".to_string());
    }
    if feature("GUEST") {
        libraries.push("hvstack-guest".to_string());
    }
    libraries.push("hvstack".to_string());

    let mut others = Vec::new();
    let cflags = if let Some(build) = env::var_os("HVSTACK_BUILD_DIR") {
        let build = PathBuf::from(build);
        others = link_build(&build, &libraries);
        format!("-I{}", source_of(&build).join("include").display())
    } else {
        link(&libraries);
        let mut arguments = vec!["--cflags"];
        arguments.extend(libraries.iter().map(String::as_str));
        pkg_config(&arguments).join(" ")
    };
    if feature("HOST") {
        others.extend(["libevent_core", "libevent_pthreads", "json-c"].map(String::from));
        link(&others);
    }
    // What the test against the headers compiles with.
    println!("cargo:rustc-env=HVSTACK_CFLAGS={cflags}");
}
