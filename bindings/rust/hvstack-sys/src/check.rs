// SPDX-License-Identifier: MIT
//! Compares what this crate declares with the C headers: a C program made of assertions, compiled.
//! What the headers declare and this crate does not is found by reading them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::Command;
use std::{env, fs};

pub(crate) struct Header {
    pub path: &'static str,
    pub opaque: Vec<&'static str>,
    pub enums: Vec<Enum>,
    pub constants: Vec<(&'static str, i128)>,
    pub callbacks: Vec<Function>,
    pub structs: Vec<Struct>,
    pub functions: Vec<Function>,
    /// Of functions: that they are here shows that the libraries have them.
    pub addresses: Vec<usize>,
}

pub(crate) struct Enum {
    pub name: &'static str,
    pub size: usize,
    pub signed: bool,
    pub values: Vec<(&'static str, i128)>,
}

pub(crate) struct Struct {
    pub name: &'static str,
    pub size: usize,
    pub fields: Vec<Field>,
}

pub(crate) struct Field {
    pub name: &'static str,
    pub of: &'static str,
    pub offset: usize,
    pub size: usize,
}

pub(crate) struct Function {
    pub name: &'static str,
    pub args: Vec<&'static str>,
    pub result: &'static str,
}

impl Header {
    pub fn new(path: &'static str) -> Self {
        Self {
            path,
            opaque: Vec::new(),
            enums: Vec::new(),
            constants: Vec::new(),
            callbacks: Vec::new(),
            structs: Vec::new(),
            functions: Vec::new(),
            addresses: Vec::new(),
        }
    }
}

/// Names that are not written alone in C.
struct Tags {
    structs: BTreeSet<&'static str>,
    enums: BTreeSet<&'static str>,
}

impl Tags {
    fn new(headers: &[Header]) -> Self {
        let mut tags = Tags { structs: BTreeSet::new(), enums: BTreeSet::new() };
        for h in headers {
            tags.structs.extend(&h.opaque);
            tags.structs.extend(h.structs.iter().map(|s| s.name));
            tags.enums.extend(h.enums.iter().map(|e| e.name));
        }
        tags
    }

    fn named(&self, name: &str) -> String {
        match name {
            "u8" | "u16" | "u32" | "u64" => format!("uint{}_t", &name[1..]),
            "i32" | "i64" => format!("int{}_t", &name[1..]),
            "usize" => "size_t".into(),
            "c_int" => "int".into(),
            "c_uint" => "unsigned".into(),
            "c_short" => "short".into(),
            "c_char" => "char".into(),
            "c_void" => "void".into(),
            _ if self.structs.contains(name) => format!("struct {name}"),
            _ if self.enums.contains(name) => format!("enum {name}"),
            _ => name.into(),
        }
    }
}

/// A Rust type, as source text, on its way to C.
struct Reader<'a> {
    tokens: Vec<String>,
    at: usize,
    tags: &'a Tags,
}

impl Reader<'_> {
    fn take(&mut self, wanted: &str) -> bool {
        let there = self.tokens.get(self.at).map(String::as_str) == Some(wanted);
        self.at += usize::from(there);
        there
    }

    fn word(&mut self) -> String {
        self.at += 1;
        self.tokens[self.at - 1].clone()
    }

    /// C of the next type, for something called `inner`.
    fn declare(&mut self, inner: String, constant: bool) -> String {
        let qualifier = if constant { "const " } else { "" };
        if self.take("*") {
            let constant_target = self.word() == "const";
            return self.declare(format!("(*{qualifier}{inner})"), constant_target);
        }
        if self.take("[") {
            let start = self.at;
            while !self.take(";") {
                self.at += 1;
            }
            let length = self.word();
            let end = self.at + 1;
            self.at = start;
            let text = self.declare(format!("({inner})[{length}]"), constant);
            self.at = end;
            return text;
        }
        if self.take("Option") {
            let start = self.at;
            assert!(self.take("<"), "Option of nothing at {start}");
            for word in ["unsafe", "extern", "\"C\"", "fn", "("] {
                assert!(self.take(word), "a function pointer without {word}");
            }
            let mut args = Vec::new();
            while !self.take(")") {
                args.push(self.declare(String::new(), false));
                self.take(",");
            }
            let head = format!("(*{qualifier}{inner})({})", list(&args));
            let text =
                if self.take("->") { self.declare(head, false) } else { format!("void {head}") };
            self.take(",");
            assert!(self.take(">"));
            return text;
        }
        let name = self.word();
        format!("{qualifier}{} {inner}", self.tags.named(&name))
    }
}

fn list(args: &[String]) -> String {
    if args.is_empty() {
        "void".into()
    } else {
        args.join(", ")
    }
}

fn tokens(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let word = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let length = match word {
            0 if rest.starts_with("->") => 2,
            0 if rest.starts_with("\"C\"") => 3,
            0 => 1,
            _ => word,
        };
        all.push(rest[..length].to_string());
        rest = rest[length..].trim_start();
    }
    all
}

fn c_type(tags: &Tags, rust: &str, inner: &str) -> String {
    let mut reader = Reader { tokens: tokens(rust), at: 0, tags };
    let text = reader.declare(inner.into(), false);
    assert_eq!(reader.at, reader.tokens.len(), "{rust} was read to its end");
    text
}

fn c_function(tags: &Tags, f: &Function, inner: &str) -> String {
    let args: Vec<_> = f.args.iter().map(|a| c_type(tags, a, "")).collect();
    let head = format!("{inner}({})", list(&args));
    if f.result.is_empty() {
        format!("void {head}")
    } else {
        c_type(tags, f.result, &head)
    }
}

/// A C program that compiles if what the headers say is what this crate says.
fn program(headers: &[Header]) -> String {
    let tags = Tags::new(headers);
    let mut c = String::from("#include <stddef.h>\n#include <stdint.h>\n#include <stdbool.h>\n");

    for h in headers {
        writeln!(c, "#include <{}>", h.path).unwrap();
    }
    for h in headers {
        for e in &h.enums {
            let n = e.name;
            writeln!(c, "_Static_assert(sizeof(enum {n}) == {}, \"{n}\");", e.size).unwrap();
            let sign = if e.signed { "<" } else { ">" };
            writeln!(c, "_Static_assert((enum {n})-1 {sign} 0, \"sign of {n}\");").unwrap();
            constants(&mut c, &e.values);
        }
        constants(&mut c, &h.constants);
        for s in &h.structs {
            structure(&mut c, &tags, s);
        }
        for f in &h.callbacks {
            let own = c_function(&tags, f, "(**)");
            same_type(&mut c, f.name, &format!("({} *)0", f.name), &own);
        }
        for f in &h.functions {
            same_type(&mut c, f.name, &format!("&{}", f.name), &c_function(&tags, f, "(*)"));
        }
    }
    c
}

fn constants(c: &mut String, values: &[(&str, i128)]) {
    for (name, value) in values {
        let suffix = if *value < 0 { "LL" } else { "ULL" };
        writeln!(c, "_Static_assert({name} == {value}{suffix}, \"{name}\");").unwrap();
    }
}

fn same_type(c: &mut String, what: &str, expression: &str, of: &str) {
    writeln!(c, "_Static_assert(_Generic({expression}, {of}: 1, default: 0), \"type of {what}\");")
        .unwrap();
}

fn structure(c: &mut String, tags: &Tags, s: &Struct) {
    let n = s.name;
    writeln!(c, "_Static_assert(sizeof(struct {n}) == {}, \"{n}\");", s.size).unwrap();
    for f in &s.fields {
        let field = f.name.trim_start_matches("r#");
        let at = format!("((struct {n} *)0)->{field}");
        let pointer = c_type(tags, f.of, "(*)");
        writeln!(
            c,
            "_Static_assert(offsetof(struct {n}, {field}) == {}, \"{n}.{field} is elsewhere\");\n\
             _Static_assert(sizeof({at}) == {}, \"size of {n}.{field}\");",
            f.offset, f.size
        )
        .unwrap();
        same_type(c, &format!("{n}.{field}"), &format!("&{at}"), &pointer);
    }
}

/// What a compiler says to a program, with `cflags` in front of those of the libraries.
fn compile(name: &str, program: &str, cflags: &[String]) -> Result<(), String> {
    let folder = env::temp_dir().join(format!("hvstack-sys-{}-{name}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("check.c");
    fs::write(&file, program).unwrap();
    let cc = env::var("CC").unwrap_or_else(|_| "cc".into());
    let output = Command::new(&cc)
        .args(["-std=c11", "-D_GNU_SOURCE", "-fsyntax-only", "-Werror"])
        .args(cflags)
        .args(env!("HVSTACK_CFLAGS").split_whitespace())
        .arg(&file)
        .output()
        .unwrap_or_else(|err| panic!("can't run {cc}: {err}"));
    fs::remove_dir_all(&folder).unwrap();
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// The folder with the public headers.
fn include() -> std::path::PathBuf {
    env!("HVSTACK_CFLAGS")
        .split_whitespace()
        .filter_map(|flag| flag.strip_prefix("-I"))
        .map(std::path::PathBuf::from)
        .find(|folder| folder.join("hvstack/hvstack.h").exists())
        .unwrap_or_else(|| "/usr/include".into())
}

fn read(path: &str) -> String {
    fs::read_to_string(include().join(path)).unwrap_or_else(|err| panic!("{path}: {err}"))
}

fn without_comments(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("/*") {
        plain.push_str(&rest[..start]);
        rest = rest[start..].split_once("*/").expect("comments end").1;
    }
    plain + rest
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Functions that a header exports.
fn exported(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for piece in text.split("HVS_API").skip(1) {
        let head = piece.split(';').next().unwrap();
        let head = head.split('(').next().unwrap().trim_end();
        let start = head.rfind(|c: char| !is_name(c)).map_or(0, |at| at + 1);
        names.insert(head[start..].to_string());
    }
    names
}

/// Structs that a header defines, with the number of their members.
fn defined(text: &str) -> Vec<(String, usize)> {
    let mut all = Vec::new();
    for piece in text.split("\nstruct ").skip(1) {
        let (name, body) = match piece.split_once('{') {
            Some((name, body)) if name.trim().chars().all(is_name) => (name.trim(), body),
            _ => continue,
        };
        let body = body.split_once("\n};").expect("structs end").0;
        all.push((name.to_string(), body.matches(';').count()));
    }
    all
}

/// Constants: enumerators, and macros that stand for a number.
fn numbers(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("#define HVS_") {
            let (name, value) = rest.split_at(rest.find(|c| !is_name(c)).unwrap_or(rest.len()));
            if !value.starts_with('(') && !name.ends_with("_INIT") && !value.trim().is_empty() {
                names.insert(format!("HVS_{name}"));
            }
        }
    }
    for piece in text.split("\nenum ").skip(1) {
        if let Some((name, body)) = piece.split_once('{') {
            if name.trim().chars().all(is_name) {
                for value in body.split_once('}').expect("enums end").0.split(',') {
                    let name = value.split('=').next().unwrap().trim();
                    if !name.is_empty() {
                        names.insert(name.to_string());
                    }
                }
            }
        }
    }
    names
}

/// Declared in the header, and not here: variadic.
const LEFT_OUT: [&str; 1] = ["hvs_call_fail"];

fn ours(headers: &[Header]) -> impl Iterator<Item = &Header> {
    headers.iter().filter(|h| h.path.starts_with("hvstack/"))
}

#[test]
fn what_is_declared_here_is_what_the_headers_declare() {
    let headers = crate::headers();
    if let Err(errors) = compile("all", &program(&headers), &[]) {
        panic!("{errors}");
    }
}

#[test]
fn all_that_the_headers_declare_is_declared_here() {
    let headers = crate::headers();
    let mut compared = 0;
    for h in ours(&headers) {
        let text = without_comments(&read(h.path));
        let mut functions: BTreeSet<_> = h.functions.iter().map(|f| f.name.to_string()).collect();
        let theirs = exported(&text);
        functions.extend(LEFT_OUT.iter().map(|n| n.to_string()).filter(|n| theirs.contains(n)));
        assert_eq!(functions, theirs, "functions of {}", h.path);
        let structs: Vec<_> =
            h.structs.iter().map(|s| (s.name.to_string(), s.fields.len())).collect();
        assert_eq!(structs, defined(&text), "structs and their members of {}", h.path);
        let enumerators = h.enums.iter().flat_map(|e| &e.values);
        let constants: BTreeSet<_> =
            enumerators.chain(&h.constants).map(|(name, _)| name.to_string()).collect();
        assert_eq!(constants, numbers(&text), "constants of {}", h.path);
        compared += functions.len();
    }
    assert!(compared > 0);
}

#[test]
fn every_public_header_is_here() {
    let headers = crate::headers();
    let known: BTreeSet<_> = ours(&headers).map(|h| h.path.to_string()).collect();
    let mut there = BTreeSet::new();
    let folders =
        [("", true), ("guest/", cfg!(feature = "guest")), ("host/", cfg!(feature = "host"))];
    for (folder, wanted) in folders {
        if !wanted {
            continue;
        }
        for entry in fs::read_dir(include().join("hvstack").join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            // The one includes all others, the other has attributes.
            if name.ends_with(".h") && name != "hvstack.h" && name != "export.h" {
                there.insert(format!("hvstack/{folder}{name}"));
            }
        }
    }
    assert_eq!(known, there);
}

#[test]
fn the_libraries_have_all_functions() {
    let addresses: Vec<_> = crate::headers().iter().flat_map(|h| h.addresses.clone()).collect();
    assert!(!addresses.is_empty());
    assert!(addresses.iter().all(|&a| a != 0));
}

/// A copy of the headers in which `from` has become `to`: the comparison has to fail.
fn changed(name: &str, path: &str, from: &str, to: &str) -> String {
    let folder = env::temp_dir().join(format!("hvstack-sys-{}-{name}-headers", std::process::id()));
    let text = read(path);
    assert!(text.contains(from), "{path} has {from:?}");
    let file = folder.join(path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, text.replacen(from, to, 1)).unwrap();
    let flags = [format!("-I{}", folder.display())];
    let said = compile(name, &program(&crate::headers()), &flags);
    fs::remove_dir_all(&folder).unwrap();
    said.expect_err("a changed header is noticed")
}

#[test]
fn a_member_that_moves_is_noticed() {
    let said = changed(
        "moved",
        "hvstack/blockdev.h",
        "uint32_t block_size;          /*",
        "uint32_t added; uint32_t block_size; /*",
    );
    assert!(said.contains("hvs_blk_info.block_size is elsewhere"), "{said}");
}

#[test]
fn a_member_of_another_type_is_noticed() {
    let said = changed("type", "hvstack/types.h", "uint32_t offset;", "int32_t offset;");
    assert!(said.contains("type of hvs_page_range.offset"), "{said}");
}

#[test]
fn a_function_that_is_gone_is_noticed() {
    let said = changed(
        "gone",
        "hvstack/worker.h",
        "hvs_vmbus_main_worker(struct hvs_vmbus *bus)",
        "hvs_vmbus_first_worker(struct hvs_vmbus *bus)",
    );
    assert!(said.contains("hvs_vmbus_main_worker"), "{said}");
}

#[test]
fn another_prototype_is_noticed() {
    let said = changed(
        "prototype",
        "hvstack/vmbus.h",
        "hvs_vmbus_slot_free(struct hvs_vmbus *bus, uint32_t vp)",
        "hvs_vmbus_slot_free(struct hvs_vmbus *bus, uint64_t vp)",
    );
    assert!(said.contains("hvs_vmbus_slot_free"), "{said}");
}

#[test]
fn another_value_is_noticed() {
    let said = changed("value", "hvstack/types.h", "HVS_RDWR = 3", "HVS_RDWR = 7");
    assert!(said.contains("HVS_RDWR"), "{said}");
}
