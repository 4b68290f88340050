//! What runs in an instance when it boots: in the order of cloud-init, and what belongs to the
//! instance's first boot only then. Runs in a copy of the first process. May touch: the instance.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use gureum_room::process::{Forked, fork};
use gureum_room::{Doing, Error, Result};

use crate::cloud_config::{self, CloudConfig, Line, Mount, User, Written};
use crate::init::variables;
use crate::spec::Spec;
use crate::user_data::{self, Part};

const CLOUD: &str = "/var/lib/cloud";
const FSTAB: &str = "/etc/fstab";
const OUTPUT: &str = "/var/log/cloud-init-output.log";
/// The longest that zipped user data may become.
const LONGEST: u64 = 16 << 20;

/// Runs everything; returns the code to exit with.
pub(crate) fn run(spec: &Spec) -> i32 {
    if let Err(error) = tee() {
        eprintln!("cloud-init: no {OUTPUT}: {error}");
    }
    let provision = Provision {
        spec,
        begun: Instant::now(),
        first: !done(spec).exists(),
        failures: 0,
    };
    provision.run()
}

/// Exists once the first boot is done with.
fn done(spec: &Spec) -> PathBuf {
    Path::new(CLOUD)
        .join("instances")
        .join(&spec.id)
        .join("boot-finished")
}

struct Provision<'a> {
    spec: &'a Spec,
    begun: Instant,
    first: bool,
    failures: u32,
}

impl Provision<'_> {
    fn run(mut self) -> i32 {
        self.stage("init");
        let parts = self.parts();
        let configs: Vec<CloudConfig> = parts.iter().filter_map(|part| self.config(part)).collect();
        for part in &parts {
            match part {
                Part::Boothook(text) => self.script("boothook", text),
                Part::Ignored(why) => println!("cloud-init: a part is not run: it {why}"),
                _ => {}
            }
        }
        if !self.first {
            self.mount();
        }
        for config in &configs {
            self.lines("bootcmd", &config.bootcmd);
        }
        if self.first {
            // Before anything runs that might reboot: once means at most once.
            self.mark();
            for config in &configs {
                self.prepare(config);
            }
            self.mount();
        }
        self.authorize(&configs);
        self.ssh_server();
        if self.first {
            self.stage("modules:final");
            for config in &configs {
                self.packages(config);
                self.lines("runcmd", &config.runcmd);
            }
            for part in &parts {
                if let Part::Script(text) = part {
                    self.script("part", text);
                }
            }
        }
        self.say("finished");
        i32::from(self.failures > 0)
    }

    fn stage(&self, name: &str) {
        self.say(&format!("running '{name}'"));
    }

    fn say(&self, what: &str) {
        println!(
            "Cloud-init v. gureum-{} {what}. Up {:.2} seconds.",
            env!("CARGO_PKG_VERSION"),
            self.begun.elapsed().as_secs_f64()
        );
    }

    /// Says what went wrong and goes on, as cloud-init does.
    fn attempt(&mut self, what: &str, outcome: Result<()>) {
        if let Err(error) = outcome {
            self.failures += 1;
            println!("cloud-init: {what}: {error}");
        }
    }

    fn parts(&mut self) -> Vec<Part> {
        let Some(data) = &self.spec.user_data else {
            return Vec::new();
        };
        if !user_data::is_gzip(data) {
            return user_data::parse(data);
        }
        match unzip(data) {
            Ok(data) => user_data::parse(&data),
            Err(error) => {
                self.attempt("user data", Err(error));
                Vec::new()
            }
        }
    }

    fn config(&mut self, part: &Part) -> Option<CloudConfig> {
        let Part::CloudConfig(text) = part else {
            return None;
        };
        match cloud_config::parse(text) {
            Ok(config) => {
                for key in &config.ignored {
                    println!("cloud-init: cloud-config: {key} is not honoured");
                }
                Some(config)
            }
            Err(error) => {
                self.attempt("cloud-config", Err(Error::Failed(error)));
                None
            }
        }
    }

    fn mark(&mut self) {
        let mark = || {
            let file = done(self.spec);
            fs::create_dir_all(file.parent().unwrap_or(Path::new(CLOUD)))?;
            File::create(&file)?.sync_all()?;
            let _ = fs::remove_file(format!("{CLOUD}/instance"));
            let target = format!("instances/{}", self.spec.id);
            std::os::unix::fs::symlink(target, format!("{CLOUD}/instance"))
        };
        let marked = mark().doing("remember the first boot");
        self.attempt("instance", marked);
    }

    fn prepare(&mut self, config: &CloudConfig) {
        if let Some(name) = &config.hostname {
            let set = fs::write("/etc/hostname", format!("{name}\n"));
            self.attempt("hostname", set.doing("write /etc/hostname"));
        }
        for file in &config.write_files {
            self.attempt("write_files", write_file(file));
        }
        for user in &config.users {
            self.attempt("users", add_user(user));
        }
        for mount in &config.mounts {
            self.attempt("mounts", remember(mount));
        }
    }

    /// Mounts what `/etc/fstab` names. What is not attached yet is no failure of the boot.
    fn mount(&mut self) {
        let table = fs::read_to_string(FSTAB).unwrap_or_default();
        let named =
            |line: &str| !line.trim_start().is_empty() && !line.trim_start().starts_with('#');
        if table.lines().any(named) {
            let mounted = self.command("mount", ["-a"]);
            self.attempt("mounts", mounted);
        }
    }

    /// Puts the keys where the SSH server looks for them.
    fn authorize(&mut self, configs: &[CloudConfig]) {
        if !self.first {
            return;
        }
        let mut keys = self.spec.authorized_keys.clone();
        for config in configs {
            let own = config.ssh_authorized_keys.iter();
            keys.extend(own.map(|key| (DEFAULT_USER.to_owned(), key.clone())));
            for user in &config.users {
                let theirs = user.ssh_authorized_keys.iter();
                keys.extend(theirs.map(|key| (user.name.clone(), key.clone())));
            }
        }
        for (user, key) in &keys {
            self.attempt("ssh", authorize(user, key));
        }
    }

    /// Starts the distribution's SSH server, where there is one and someone may come in.
    fn ssh_server(&mut self) {
        let keys = ["/root", "/home"]
            .iter()
            .any(|home| has_keys(Path::new(home)));
        if !keys || !Path::new("/usr/sbin/sshd").exists() {
            return;
        }
        for kind in ["ed25519", "ecdsa"] {
            let file = format!("/etc/ssh/ssh_host_{kind}_key");
            if !Path::new(&file).exists() {
                let make = ["-q", "-t", kind, "-N", "", "-C", "", "-f", &file];
                let made = self.command("ssh-keygen", make);
                self.attempt("ssh", made);
            }
        }
        if self.first {
            println!("-----BEGIN SSH HOST KEY FINGERPRINTS-----");
            for kind in ["ed25519", "ecdsa"] {
                let file = format!("/etc/ssh/ssh_host_{kind}_key.pub");
                let _ = self.command("ssh-keygen", ["-l", "-f", &file]);
            }
            println!("-----END SSH HOST KEY FINGERPRINTS-----");
        }
        let started = self.command("/usr/sbin/sshd", [] as [&str; 0]);
        self.attempt("ssh", started);
    }

    fn packages(&mut self, config: &CloudConfig) {
        if config.packages.is_empty() && !config.package_update {
            return;
        }
        let managers: [(&str, &[&str], &[&str]); 3] = [
            ("/usr/bin/apt-get", &["update"], &["install", "-y"]),
            ("/usr/bin/dnf", &["makecache"], &["install", "-y"]),
            ("/usr/bin/zypper", &["refresh"], &["install", "-y"]),
        ];
        let found = managers.iter().find(|(tool, ..)| Path::new(tool).exists());
        let Some((tool, update, install)) = found else {
            let none = Error::failed("this image has no package manager that we know");
            return self.attempt("packages", Err(none));
        };
        let updated = self.command(tool, update.iter());
        self.attempt("packages", updated);
        if !config.packages.is_empty() {
            let names = config.packages.iter().map(String::as_str);
            let installed = self.command(tool, install.iter().copied().chain(names));
            self.attempt("packages", installed);
        }
    }

    fn lines(&mut self, what: &str, lines: &[Line]) {
        for line in lines {
            let outcome = match line {
                Line::Shell(line) => self.command("/bin/sh", ["-c", line]),
                Line::Words(words) => match words.split_first() {
                    Some((program, arguments)) => self.command(program, arguments),
                    None => Ok(()),
                },
            };
            self.attempt(what, outcome);
        }
    }

    /// Runs a script as the file that it says it is.
    fn script(&mut self, kind: &str, text: &[u8]) {
        let directory = done(self.spec).with_file_name("scripts");
        let write = || {
            fs::create_dir_all(&directory)?;
            let number = fs::read_dir(&directory)?.count() + 1;
            let path = directory.join(format!("{kind}-{number:03}"));
            fs::write(&path, text)?;
            fs::set_permissions(&path, Permissions::from_mode(0o700))?;
            Ok::<_, std::io::Error>(path)
        };
        let outcome = write()
            .doing("write the script")
            .and_then(|path| self.command(&path, [] as [&str; 0]));
        self.attempt("scripts-user", outcome);
    }

    /// Runs a program to its end; an exit code other than 0 is an error.
    fn command<A: AsRef<OsStr>>(
        &self,
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<()> {
        let shown = program.as_ref().to_string_lossy().into_owned();
        let status = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(variables(self.spec))
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("INSTANCE_ID", &self.spec.id)
            .current_dir("/")
            .stdin(Stdio::null())
            .status()
            .doing(format_args!("run {shown}"))?;
        match status.success() {
            true => Ok(()),
            false => Err(Error::failed(format_args!("{shown}: {status}"))),
        }
    }
}

/// Whom keys belong to that name nobody.
const DEFAULT_USER: &str = "ec2-user";

fn unzip(data: &[u8]) -> Result<Vec<u8>> {
    let doing = "unzip user data";
    let zipped = Path::new("/run/user-data.gz");
    fs::write(zipped, data).doing(doing)?;
    let mut gzip = Command::new("/usr/bin/gzip")
        .args(["-dc", "/run/user-data.gz"])
        .stdout(Stdio::piped())
        .spawn()
        .doing(doing)?;
    let mut text = Vec::new();
    if let Some(stdout) = gzip.stdout.take() {
        stdout.take(LONGEST).read_to_end(&mut text).doing(doing)?;
    }
    let status = gzip.wait().doing(doing)?;
    let _ = fs::remove_file(zipped);
    match status.success() {
        true => Ok(text),
        false => Err(Error::failed(format_args!("{doing}: {status}"))),
    }
}

fn write_file(file: &Written) -> Result<()> {
    let doing = format!("write {}", file.path);
    let path = Path::new(&file.path);
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).doing(&doing)?;
    }
    let mut options = File::options();
    options.create(true).append(file.append);
    if !file.append {
        options.write(true).truncate(true);
    }
    let mut written = options.open(path).doing(&doing)?;
    written.write_all(&file.content).doing(&doing)?;
    fs::set_permissions(path, Permissions::from_mode(file.mode)).doing(&doing)?;
    match &file.owner {
        Some(owner) => tool("chown", &[owner, &file.path]),
        None => Ok(()),
    }
}

/// Adds to `/etc/fstab`, unless it is there already.
fn remember(mount: &Mount) -> Result<()> {
    let doing = format!("write {FSTAB}");
    fs::create_dir_all(&mount.directory).doing(format_args!("make {}", mount.directory))?;
    let table = fs::read_to_string(FSTAB).unwrap_or_default();
    if table.lines().any(|line| line == mount.line) {
        return Ok(());
    }
    let mut file = File::options()
        .append(true)
        .create(true)
        .open(FSTAB)
        .doing(&doing)?;
    writeln!(file, "{}", mount.line).doing(doing)
}

fn add_user(user: &User) -> Result<()> {
    for group in &user.groups {
        tool("groupadd", &["-f", group])?;
    }
    let mut arguments = vec![
        "-m",
        "-U",
        "-s",
        user.shell.as_deref().unwrap_or("/bin/bash"),
    ];
    let groups = user.groups.join(",");
    if !groups.is_empty() {
        arguments.extend(["-G", &groups]);
    }
    arguments.push(&user.name);
    tool("useradd", &arguments)
}

fn authorize(user: &str, key: &str) -> Result<()> {
    let passwd = fs::read_to_string("/etc/passwd").doing("read /etc/passwd")?;
    let fields = passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.first() == Some(&user));
    let Some(home) = fields.and_then(|fields| fields.get(5).copied()) else {
        return Err(Error::failed(format_args!("there is no user {user}")));
    };
    let doing = format!("authorize a key for {user}");
    let directory = Path::new(home).join(".ssh");
    let file = directory.join("authorized_keys");
    fs::create_dir_all(&directory).doing(&doing)?;
    let mut open = File::options()
        .append(true)
        .create(true)
        .open(&file)
        .doing(&doing)?;
    writeln!(open, "{}", key.trim()).doing(&doing)?;
    fs::set_permissions(&directory, Permissions::from_mode(0o700)).doing(&doing)?;
    fs::set_permissions(&file, Permissions::from_mode(0o600)).doing(&doing)?;
    match user {
        "root" => Ok(()),
        _ => tool("chown", &["-R", &format!("{user}:"), home]),
    }
}

/// Whether somebody may come in by SSH: a home, or one of those in it, holds keys.
fn has_keys(home: &Path) -> bool {
    let keys = |home: &Path| home.join(".ssh/authorized_keys").exists();
    let homes = fs::read_dir(home).into_iter().flatten().flatten();
    keys(home) || homes.into_iter().any(|entry| keys(&entry.path()))
}

fn tool(name: &str, arguments: &[&str]) -> Result<()> {
    let status = Command::new(name)
        .args(arguments)
        .env("PATH", crate::init::PATH)
        .stdin(Stdio::null())
        .status();
    match status.doing(format_args!("run {name}"))? {
        status if status.success() => Ok(()),
        status => Err(Error::failed(format_args!(
            "{name} {arguments:?}: {status}"
        ))),
    }
}

/// From now on what this process and its children write goes to the console and to a file. The
/// copy that sees to it lives as long as any of them.
fn tee() -> Result<()> {
    let doing = "share out what is written";
    let mut file = File::options()
        .append(true)
        .create(true)
        .open(OUTPUT)
        .doing(doing)?;
    let (mut from, to) = std::io::pipe().doing(doing)?;
    match fork().doing(doing)? {
        Forked::Parent(_) => {
            rustix::stdio::dup2_stdout(to.as_fd()).doing(doing)?;
            rustix::stdio::dup2_stderr(to.as_fd()).doing(doing)
        }
        Forked::Child => {
            drop(to);
            let mut buffer = [0; 4096];
            let mut console = std::io::stdout();
            while let Ok(read @ 1..) = from.read(&mut buffer) {
                let _ = console
                    .write_all(&buffer[..read])
                    .and_then(|()| console.flush());
                let _ = file.write_all(&buffer[..read]);
            }
            std::process::exit(0)
        }
    }
}
