//! The base image: a directory that goes below an instance's root, with everything fresh that is not
//! the host's `/usr`. What is taken over from the host's `/etc` stands on a short list of things that
//! programs need and nobody keeps secret. May touch: the host's files for reading, `images/`.

use std::fs::{self, Metadata, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use gureum_room::{Doing, Error, Result};

use crate::layout::Layout;
use crate::spec::ImageId;

/// Counted up when what is built here changes.
const VERSION: u32 = 2;

/// Single files of `/etc` that are taken over as they are: the linker's, the distribution's names,
/// tables of names and numbers.
const FILES: [&str; 19] = [
    "ld.so.cache",
    "ld.so.conf",
    "os-release",
    "debian_version",
    "redhat-release",
    "lsb-release",
    "protocols",
    "services",
    "rpc",
    "mime.types",
    "magic",
    "shells",
    "login.defs",
    "bash.bashrc",
    "inputrc",
    "gai.conf",
    "ssl/openssl.cnf",
    "ssh/moduli",
    "debconf.conf",
];
/// Directories of `/etc` that are, with what is public in them.
const DIRECTORIES: [(&str, Kind); 9] = [
    ("ld.so.conf.d", Kind::Text),
    ("alternatives", Kind::Links),
    ("terminfo", Kind::Text),
    ("python3", Kind::Text),
    ("python3.11", Kind::Text),
    ("python3.12", Kind::Text),
    ("python3.13", Kind::Text),
    ("ssl/certs", Kind::Certificates),
    ("pki/ca-trust/extracted/pem", Kind::Certificates),
];
/// Nothing on the lists is longer.
const LONGEST: u64 = 2 << 20;

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Text,
    /// Links into `/usr`, and no files.
    Links,
    Certificates,
}

/// Links of the root into `/usr`, on every distribution of the last years.
const MERGED: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];
const EMPTY: [&str; 24] = [
    "boot",
    "dev",
    "etc/ssh",
    "etc/pam.d",
    "home",
    "media",
    "mnt",
    "opt",
    "proc",
    "run",
    "srv",
    "sys",
    "usr",
    "var/cache/apt/archives/partial",
    "var/lib/apt/lists/partial",
    "var/lib/cloud",
    "var/lib/dpkg/info",
    "var/lib/dpkg/updates",
    "var/lib/misc",
    "var/local",
    "var/log/apt",
    "var/mail",
    "var/spool",
    "etc/profile.d",
];
const PASSWD: &str = "\
root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
bin:x:2:2:bin:/bin:/usr/sbin/nologin
sys:x:3:3:sys:/dev:/usr/sbin/nologin
mail:x:8:8:mail:/var/mail:/usr/sbin/nologin
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
_apt:x:42:65534::/nonexistent:/usr/sbin/nologin
sshd:x:74:65534::/run/sshd:/usr/sbin/nologin
ec2-user:x:1000:1000:EC2 Default User:/home/ec2-user:/bin/bash
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
";
const GROUP: &str = "\
root:x:0:
daemon:x:1:
bin:x:2:
sys:x:3:
adm:x:4:ec2-user
tty:x:5:
disk:x:6:
mail:x:8:
wheel:x:10:ec2-user
sudo:x:27:ec2-user
www-data:x:33:
shadow:x:42:
utmp:x:43:
staff:x:50:
users:x:100:
ec2-user:x:1000:
nogroup:x:65534:
";
const NSSWITCH: &str = "\
passwd: files
group: files
shadow: files
hosts: files dns
networks: files
protocols: files
services: files
";
const SSHD: &str = "\
HostKey /etc/ssh/ssh_host_ed25519_key
HostKey /etc/ssh/ssh_host_ecdsa_key
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
PrintMotd no
AcceptEnv LANG LC_*
Subsystem sftp internal-sftp
";
const PROFILE: &str = "\
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
set -a; [ -r /etc/environment ] && . /etc/environment; set +a
[ \"$(id -u)\" = 0 ] && PS1='# ' || PS1='$ '
for script in /etc/profile.d/*.sh; do [ -r \"$script\" ] && . \"$script\"; done
";
const PAM: &str = "\
auth sufficient pam_rootok.so
auth required pam_unix.so
account required pam_unix.so
session required pam_permit.so
password required pam_unix.so
";
const POWER_OFF: &str =
    "#!/bin/sh\n# Asks the first process, as systemd's SIGRTMIN+4 does.\nkill -38 1\n";
const REBOOT: &str =
    "#!/bin/sh\n# Asks the first process, as systemd's SIGRTMIN+5 does.\nkill -39 1\n";
const SHUTDOWN: &str = "\
#!/bin/sh
# shutdown [-h|-P|-r] [now|+MINUTES] [message]
action=poweroff when=now
for word; do
    case $word in
        -r|--reboot) action=reboot ;;
        -*) ;;
        now|+*) when=$word; break ;;
    esac
done
case $when in
    now|+0) exec $action ;;
    *) (sleep $((${when#+} * 60)); exec $action) >/dev/null 2>&1 & ;;
esac
";

/// Where an image lies.
pub(crate) fn directory(layout: &Layout, image: &ImageId) -> PathBuf {
    layout.images().join(&image.0)
}

/// Makes sure that an image is there, and returns under which exact name. The base image of a host
/// whose libraries or certificates changed is another.
pub(crate) fn ensure(layout: &Layout, image: &ImageId) -> Result<ImageId> {
    let exact = match *image == ImageId::base() {
        true => ImageId(format!("base-{VERSION}-{:x}", fingerprint(Path::new("/")))),
        false => image.clone(),
    };
    let at = directory(layout, &exact);
    if at.is_dir() {
        return Ok(exact);
    }
    if *image != ImageId::base() {
        return Err(Error::failed(format_args!("there is no image {}", image.0)));
    }
    // Made beside its place: a half one is never found there, nor one that another makes meanwhile.
    let unique = gureum_kit::names::id::hex_digits(8);
    let fresh = layout.images().join(format!(".{}-{unique}", exact.0));
    let doing = "assemble the base image";
    let built = build(Path::new("/"), &fresh).and_then(|()| match fs::rename(&fresh, &at) {
        // Another was faster.
        Err(_) if at.is_dir() => Ok(()),
        renamed => renamed.doing(doing),
    });
    if built.is_err() || fresh.exists() {
        let _ = fs::remove_dir_all(&fresh);
    }
    built.map(|()| exact)
}

/// Changes when what is taken from the host does.
fn fingerprint(host: &Path) -> u64 {
    let watched = [
        "etc/ld.so.cache",
        "etc/ssl/certs",
        "etc/alternatives",
        "etc/os-release",
    ];
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for path in watched {
        let changed = fs::metadata(host.join(path)).map_or(0, |file| file.mtime());
        for byte in changed.to_le_bytes() {
            // FNV-1a, which is the same in every version of this program.
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
    hash
}

/// Assembles the image from a host's files: `root` goes below the root, `usr` over the host's `/usr`.
fn build(host: &Path, into: &Path) -> Result<()> {
    let doing = |what: &str| format!("assemble the base image: {what}");
    let root = into.join("root");
    for directory in EMPTY {
        fs::create_dir_all(root.join(directory)).doing(doing(directory))?;
    }
    for (directory, mode) in [("root", 0o700), ("tmp", 0o1777), ("var/tmp", 0o1777)] {
        let at = root.join(directory);
        fs::create_dir_all(&at).doing(doing(directory))?;
        fs::set_permissions(&at, Permissions::from_mode(mode)).doing(doing(directory))?;
    }
    merge(host, &root)?;
    for (link, target) in [("var/run", "/run"), ("var/lock", "/run/lock")] {
        symlink(target, root.join(link)).doing(doing(link))?;
    }
    take_over(&host.join("etc"), &root.join("etc"))?;
    write_fresh(&root.join("etc"))?;
    fs::create_dir_all(root.join("home/ec2-user")).doing(doing("home"))?;
    fs::write(root.join("var/lib/dpkg/status"), "").doing(doing("dpkg"))?;
    own_usr(&host.join("usr"), &into.join("usr"))?;
    tools(&into.join("usr/local/sbin"))
}

/// What asks the first process to end.
pub(crate) fn tools(sbin: &Path) -> Result<()> {
    fs::create_dir_all(sbin).doing("make a directory of the image")?;
    for (name, text) in [
        ("poweroff", POWER_OFF),
        ("halt", POWER_OFF),
        ("reboot", REBOOT),
        ("shutdown", SHUTDOWN),
    ] {
        write(&sbin.join(name), text, 0o755)?;
    }
    Ok(())
}

/// Directories that take the place of the host's: where its root is nobody (rootless), only in
/// these can an instance add files.
fn own_usr(host: &Path, into: &Path) -> Result<()> {
    let names = [
        "bin", "sbin", "lib", "lib32", "lib64", "libexec", "share", "include", "src",
    ];
    for name in names.iter().filter(|name| host.join(name).is_dir()) {
        let link = fs::symlink_metadata(host.join(name)).is_ok_and(|file| file.is_symlink());
        if !link {
            fs::create_dir_all(into.join(name)).doing("make a directory of /usr")?;
        }
    }
    Ok(())
}

/// `/bin` and its like, as links into `/usr`.
fn merge(host: &Path, root: &Path) -> Result<()> {
    for name in MERGED {
        match fs::read_link(host.join(name)) {
            Ok(target) => {
                symlink(target, root.join(name)).doing(format_args!("link /{name}"))?;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(_) => {
                return Err(Error::failed(format_args!(
                    "this host's /{name} is no link into /usr, so its programs cannot be lent to \
                     instances"
                )));
            }
        }
    }
    Ok(())
}

fn take_over(from: &Path, to: &Path) -> Result<()> {
    for name in FILES {
        let file = from.join(name);
        if fs::metadata(&file).is_ok_and(|f| f.is_file() && public(&f, &file, Kind::Text)) {
            copy(&file, &to.join(name))?;
        }
    }
    for (name, kind) in DIRECTORIES {
        let Ok(entries) = fs::read_dir(from.join(name)) else {
            continue;
        };
        for entry in entries.flatten() {
            let target = to.join(name).join(entry.file_name());
            take(&entry.path(), &target, kind)?;
        }
    }
    Ok(())
}

/// One entry of a directory, if it is what the directory is for.
fn take(from: &Path, to: &Path, kind: Kind) -> Result<()> {
    let doing = format!("take over {}", from.display());
    let Ok(file) = fs::symlink_metadata(from) else {
        return Ok(());
    };
    if file.is_symlink() {
        let target = fs::read_link(from).doing(&doing)?;
        // To a neighbour, or to what instances see anyway.
        let near = target.components().count() == 1;
        let harmless = near || (target.starts_with("/usr") && !target.iter().any(|p| p == ".."));
        if harmless {
            make_parent(to)?;
            symlink(target, to).doing(doing)?;
        }
        return Ok(());
    }
    if kind != Kind::Links && file.is_file() && public(&file, from, kind) {
        copy(from, to)?;
    }
    Ok(())
}

/// What everybody on the host may read, and is no key.
fn public(file: &Metadata, path: &Path, kind: Kind) -> bool {
    if file.mode() & 0o004 == 0 || file.len() > LONGEST {
        return false;
    }
    let text = fs::read(path).unwrap_or_default();
    let has = |what: &[u8]| text.windows(what.len()).any(|part| part == what);
    match kind {
        Kind::Certificates => has(b"BEGIN ") && !has(b"PRIVATE KEY"),
        _ => !has(b"PRIVATE KEY"),
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let doing = format!("take over {}", from.display());
    make_parent(to)?;
    let text = fs::read(from).doing(&doing)?;
    fs::write(to, text).doing(&doing)?;
    fs::set_permissions(to, Permissions::from_mode(0o644)).doing(doing)
}

fn make_parent(path: &Path) -> Result<()> {
    match path.parent() {
        Some(parent) => fs::create_dir_all(parent).doing("make a directory of the image"),
        None => Ok(()),
    }
}

fn write_fresh(etc: &Path) -> Result<()> {
    let locked: String = PASSWD
        .lines()
        .filter_map(|line| line.split(':').next())
        .map(|name| format!("{name}:*:19000:0:99999:7:::\n"))
        .collect();
    let texts = [
        ("passwd", PASSWD, 0o644),
        ("group", GROUP, 0o644),
        ("shadow", &locked, 0o600),
        ("gshadow", "", 0o600),
        ("subuid", "", 0o644),
        ("subgid", "", 0o644),
        ("nsswitch.conf", NSSWITCH, 0o644),
        ("host.conf", "multi on\n", 0o644),
        ("profile", PROFILE, 0o644),
        ("ssh/sshd_config", SSHD, 0o644),
        ("ssh/ssh_config", "", 0o644),
        ("fstab", "", 0o644),
        ("timezone", "Etc/UTC\n", 0o644),
        ("machine-id", "", 0o444),
    ];
    for (name, text, mode) in texts {
        write(&etc.join(name), text, mode)?;
    }
    for name in [
        "su",
        "su-l",
        "runuser",
        "runuser-l",
        "login",
        "sshd",
        "other",
        "useradd",
        "chsh",
    ] {
        write(&etc.join("pam.d").join(name), PAM, 0o644)?;
    }
    for (link, target) in [
        ("localtime", "/usr/share/zoneinfo/Etc/UTC"),
        ("mtab", "/proc/self/mounts"),
    ] {
        symlink(target, etc.join(link)).doing(format_args!("link /etc/{link}"))?;
    }
    Ok(())
}

fn write(path: &Path, text: &str, mode: u32) -> Result<()> {
    let doing = format!("write {}", path.display());
    fs::write(path, text).doing(&doing)?;
    fs::set_permissions(path, Permissions::from_mode(mode)).doing(doing)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "squeamish ossifrage";

    fn put(host: &Path, path: &str, text: &str) {
        let path = host.join(path);
        fs::create_dir_all(path.parent().expect("parent")).expect("directory");
        fs::write(path, text).expect("file");
    }

    /// Every file and link below a directory.
    fn all(directory: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in fs::read_dir(directory).expect("directory").flatten() {
            match entry.file_type().expect("type").is_dir() {
                true => found.extend(all(&entry.path())),
                false => found.push(entry.path()),
            }
        }
        found
    }

    #[test]
    fn nothing_secret_of_the_host_is_in_the_image() {
        let host = tempfile::tempdir().expect("host");
        for path in [
            "etc/shadow",
            "etc/passwd",
            "etc/hosts",
            "etc/hostname",
            "etc/machine-id",
            "etc/fstab",
            "etc/ssl/private/server.key",
            "etc/ssh/ssh_host_ed25519_key",
            "etc/krb5.keytab",
            "etc/apt/auth.conf",
            "etc/apt/sources.list",
            "etc/environment",
            "etc/sudoers",
            "etc/alternatives/plain-file",
            "etc/profile.d/proxy.sh",
            "root/.ssh/id_ed25519",
            "home/ann/notes",
            "var/lib/secret",
            "srv/data",
            "opt/app/config",
            "etc/resolv.conf",
            "etc/python3/deep/er",
            "etc/unheard.of",
        ] {
            put(host.path(), path, SECRET);
        }
        let key = format!("-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\n");
        let both = format!("-----BEGIN CERTIFICATE-----\n{key}");
        put(host.path(), "etc/ssl/certs/own.pem", &both);
        put(host.path(), "etc/python3/key.pem", &key);
        put(host.path(), "etc/ssl/certs/no-certificate", SECRET);
        put(host.path(), "etc/services", SECRET);
        let closed = Permissions::from_mode(0o600);
        fs::set_permissions(host.path().join("etc/services"), closed).expect("mode");
        for (link, target) in [
            ("etc/alternatives/away", "/home/ann/notes"),
            ("etc/alternatives/sly", "/usr/../home/ann/notes"),
            ("etc/ssl/certs/up.pem", "../private/server.key"),
        ] {
            symlink(target, host.path().join(link)).expect("link");
        }
        let into = tempfile::tempdir().expect("image");
        build(host.path(), into.path()).expect("build");
        for path in all(into.path()) {
            match fs::read_link(&path) {
                Ok(target) => {
                    let target = target.to_string_lossy().into_owned();
                    assert!(
                        !target.contains("home") && !target.contains("private"),
                        "{path:?}"
                    );
                }
                Err(_) => {
                    let text = fs::read(&path).expect("file");
                    let text = String::from_utf8_lossy(&text);
                    assert!(!text.contains(SECRET), "{} is in the image", path.display());
                }
            }
        }
    }

    #[test]
    fn what_programs_need_is_there() {
        let host = tempfile::tempdir().expect("host");
        put(host.path(), "etc/ld.so.cache", "cache");
        put(
            host.path(),
            "etc/ssl/certs/ca-certificates.crt",
            "-----BEGIN CERTIFICATE-----\n",
        );
        fs::create_dir_all(host.path().join("etc/alternatives")).expect("directory");
        symlink("/usr/bin/mawk", host.path().join("etc/alternatives/awk")).expect("link");
        symlink("usr/bin", host.path().join("bin")).expect("link");
        let into = tempfile::tempdir().expect("image");
        build(host.path(), into.path()).expect("build");
        let root = into.path().join("root");
        for path in [
            "etc/ld.so.cache",
            "etc/ssl/certs/ca-certificates.crt",
            "etc/passwd",
        ] {
            assert!(root.join(path).is_file(), "{path}");
        }
        for (link, target) in [
            ("etc/alternatives/awk", "/usr/bin/mawk"),
            ("bin", "usr/bin"),
        ] {
            assert_eq!(
                fs::read_link(root.join(link)).expect(link),
                Path::new(target)
            );
        }
        assert!(into.path().join("usr/local/sbin/reboot").is_file());
    }

    #[test]
    fn a_host_whose_programs_lie_elsewhere_is_refused() {
        let host = tempfile::tempdir().expect("host");
        fs::create_dir_all(host.path().join("bin")).expect("directory");
        let into = tempfile::tempdir().expect("image");
        let error = build(host.path(), into.path()).expect_err("refused");
        assert!(error.to_string().contains("/bin"), "{error}");
    }
}
