//! Images that are kept: made from instances, or imported. Each is a directory of `images/`:
//!
//! ```text
//! root/        files, over those of the image below, or all of them
//! usr/         the same for /usr, where that is apart
//! image.json   the image below, and what an import said of itself
//! ```
//!
//! Invariants: an image appears under its name as a whole and on stable storage, and is never changed
//! again; whoever removes one knows that nothing is above it and nobody runs on it.
//!
//! May touch: `images/`, an instance's disk for reading, what is imported; `cp`, `tar` and `setpriv`.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gureum_room::{Doing, Error, Result};
use serde::{Deserialize, Serialize};

use crate::detached::Detached;
use crate::image;
use crate::layout::{Layout, read_durable, write_durably};
use crate::spec::{ImageId, Spec};

const MANIFEST: &str = "image.json";
/// What belongs to one instance, and is made anew in the next.
const OWN: [&str; 4] = [
    "etc/hostname",
    "etc/hosts",
    "etc/resolv.conf",
    "var/lib/cloud",
];
const HOST_KEYS: &str = "ssh_host_";
/// Where kernel file systems and those in memory go, and what booting writes to.
const NEEDED: [&str; 9] = [
    "dev", "etc", "proc", "root", "run", "sys", "tmp", "var/lib", "var/log",
];

/// What is written in an image's directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest {
    /// The image that this one lies over; none: it is complete.
    below: Option<String>,
    #[serde(default)]
    import: Option<Import>,
}

/// What is said of an image that is brought from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    pub name: String,
    /// Whose it is, and where.
    pub account: String,
    pub region: String,
}

/// An image that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    pub id: String,
    pub below: Option<String>,
    pub import: Option<Import>,
}

/// The directories that an instance's root is made of, topmost first.
pub(crate) struct Layers {
    pub(crate) root: Vec<PathBuf>,
    /// Those of `/usr`, where that is apart.
    pub(crate) usr: Option<Vec<PathBuf>>,
}

/// What an image is made of, down to the host's `/usr` or to one that is complete.
pub(crate) fn layers(layout: &Layout, image: &ImageId) -> Result<Layers> {
    let (mut root, mut usr) = (Vec::new(), Vec::new());
    let mut next = Some(image.0.clone());
    while let Some(id) = next {
        let at = image::directory(layout, &ImageId(id));
        root.push(at.join("root"));
        // The base image has no manifest: below it is the host.
        let Some(manifest) = manifest(&at)? else {
            usr.extend([at.join("usr"), PathBuf::from("/usr")]);
            return Ok(Layers {
                root,
                usr: Some(usr),
            });
        };
        if at.join("usr").is_dir() {
            usr.push(at.join("usr"));
        }
        next = manifest.below;
    }
    Ok(Layers { root, usr: None })
}

fn manifest(image: &Path) -> Result<Option<Manifest>> {
    let text = read_durable(&image.join(MANIFEST))?;
    let parse = |text: Vec<u8>| {
        serde_json::from_slice(&text)
            .map_err(|error| Error::failed(format_args!("{MANIFEST}: {error}")))
    };
    text.map(parse).transpose()
}

/// The images that are kept.
pub(crate) fn list(layout: &Layout) -> Result<Vec<Image>> {
    let directory = layout.images();
    let doing = format!("read {}", directory.display());
    let entries = match fs::read_dir(&directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.doing(&doing)?,
    };
    let mut images = Vec::new();
    for entry in entries {
        let entry = entry.doing(&doing)?;
        if let (Ok(id), Some(manifest)) =
            (entry.file_name().into_string(), manifest(&entry.path())?)
            && !id.starts_with('.')
        {
            images.push(Image {
                id,
                below: manifest.below,
                import: manifest.import,
            });
        }
    }
    Ok(images)
}

/// Keeps what is on an instance's disk as an image. One of that name is left as it is.
pub(crate) fn capture(layout: &Layout, instance: &str, image: &str) -> Result<()> {
    let files = layout.instance(instance)?;
    let spec = read_durable(&files.spec())?;
    let spec = spec.ok_or_else(|| Error::failed(format_args!("{instance} has no disk")))?;
    let spec: Spec = gureum_room::decode(&spec)?;
    let manifest = Manifest {
        below: Some(spec.image.0),
        import: None,
    };
    make(layout, image, &manifest, |into| {
        for part in ["root", "usr"] {
            let upper = files.disk().join(part).join("upper");
            if upper.is_dir() {
                copy(&upper, &into.join(part))?;
            }
        }
        Ok(())
    })
}

/// Keeps the root file system that is on a block device as an image.
pub(crate) fn unpack_device(layout: &Layout, device: &Path, image: &str) -> Result<()> {
    let mounted = Detached::open(device)?;
    import(layout, &mounted.path(), image, None).map_err(|error| match error {
        // Nobody knows where it was mounted.
        Error::Failed(why) => {
            let path = mounted.path().display().to_string();
            Error::Failed(why.replace(&path, "the disk"))
        }
        other => other,
    })
}

/// Keeps a root file system as an image: a directory, or an archive that `tar` can read. `about` is
/// for one that nobody knows of yet.
pub(crate) fn import(
    layout: &Layout,
    from: &Path,
    image: &str,
    about: Option<Import>,
) -> Result<()> {
    let manifest = Manifest {
        below: None,
        import: about,
    };
    make(layout, image, &manifest, |into| {
        let root = into.join("root");
        match from.is_dir() {
            true => copy(from, &root)?,
            false => unpack(from, &root)?,
        }
        if !root.join("usr/bin").is_dir() && !root.join("bin").is_dir() {
            return Err(Error::failed(format_args!(
                "{} holds no root file system: there is no /usr/bin in it",
                from.display()
            )));
        }
        for point in NEEDED {
            if let Some(point) = directory(&root, point) {
                fs::create_dir_all(point).doing("make a directory of the image")?;
            }
        }
        directory(&root, "usr/local/sbin").map_or(Ok(()), |sbin| image::tools(&sbin))
    })
}

/// Fills a directory beside its place and moves it there.
fn make(
    layout: &Layout,
    image: &str,
    manifest: &Manifest,
    fill: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let at = image::directory(layout, &ImageId(image.to_owned()));
    if at.is_dir() {
        return Ok(());
    }
    if !rustix::process::geteuid().is_root() {
        return Err(Error::failed(
            "only root can keep the owners of an image's files",
        ));
    }
    let doing = format!("make the image {image}");
    let fresh = layout.images().join(format!(".{image}"));
    discard(&fresh)?;
    let filled = || {
        fs::create_dir_all(&fresh).doing(&doing)?;
        fill(&fresh)?;
        depersonalize(&fresh.join("root"))?;
        let text = serde_json::to_vec(manifest).map_err(Error::failed)?;
        write_durably(&fresh.join(MANIFEST), &text)?;
        let directory = File::open(&fresh).doing(&doing)?;
        rustix::fs::syncfs(&directory).doing(&doing)?;
        fs::rename(&fresh, &at).doing(&doing)?;
        let directory = File::open(layout.images()).doing(&doing)?;
        directory.sync_all().doing(&doing)
    };
    filled().inspect_err(|_| {
        let _ = discard(&fresh);
    })
}

/// Takes away what an instance that begins with the image is to make for itself.
fn depersonalize(root: &Path) -> Result<()> {
    for path in OWN {
        within(root, path).map_or(Ok(()), |path| discard(&path))?;
    }
    let keys = directory(root, "etc/ssh").map(fs::read_dir);
    let Some(Ok(entries)) = keys else {
        return Ok(());
    };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(HOST_KEYS) {
            discard(&entry.path())?;
        }
    }
    Ok(())
}

/// A path below a root whose files somebody else has made. None where a link on the way leads
/// somewhere else: out of the root, perhaps.
fn within(root: &Path, path: &str) -> Option<PathBuf> {
    let path = root.join(path);
    let mut above = path.ancestors().skip(1).take_while(|at| *at != root);
    (!above.any(is_link)).then_some(path)
}

/// The same for a path that must not be a link itself.
fn directory(root: &Path, path: &str) -> Option<PathBuf> {
    within(root, path).filter(|path| !is_link(path))
}

fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|file| file.is_symlink())
}

/// Removes an image. Nothing may be above it, and nobody run on it.
pub(crate) fn remove(layout: &Layout, image: &str) -> Result<()> {
    let at = image::directory(layout, &ImageId(image.to_owned()));
    // Without its manifest, or under another name, it is none any more.
    let doomed = layout.images().join(format!(".{image}"));
    discard(&doomed)?;
    match fs::rename(&at, &doomed) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        renamed => {
            renamed.doing(format_args!("remove the image {image}"))?;
            discard(&doomed)
        }
    }
}

/// Removes a file, or a directory with all that is in it; what a link points to stays.
fn discard(path: &Path) -> Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Err(error) => Err(error),
        Ok(file) if file.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
    };
    match removed {
        Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Err(error).doing(format_args!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Copies a tree with owners, modes, times, links, holes and extended attributes: what an overlay
/// hides is written in those.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut command = ours("cp");
    command
        .args([
            "--archive",
            "--reflink=auto",
            "--sparse=always",
            "--no-target-directory",
        ])
        .arg(from)
        .arg(to);
    run(command)
}

fn unpack(archive: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).doing("make a directory of the image")?;
    let mut command = ours("tar");
    command
        .args([
            "--extract",
            "--numeric-owner",
            "--same-owner",
            "--preserve-permissions",
        ])
        .args(["--xattrs", "--exclude=./dev/*", "--exclude=dev/*"])
        .arg("--file")
        .arg(archive)
        .arg("--directory")
        .arg(to);
    run(command)
}

/// A tool that dies with this process: what it leaves half done is begun anew, without it.
fn ours(tool: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", tool]);
    command
}

fn run(mut command: Command) -> Result<()> {
    let tool = command.get_args().nth(3).unwrap_or_default();
    let tool = tool.to_string_lossy().into_owned();
    let ended = command
        .stdin(Stdio::null())
        .output()
        .doing(format_args!("run {tool}"))?;
    match ended.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&ended.stderr);
            Err(Error::failed(format_args!("{tool}: {}", said.trim())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root_of(dir: &tempfile::TempDir, name: &str) -> PathBuf {
        let root = dir.path().join(name);
        fs::create_dir_all(&root).expect("directory");
        root
    }

    #[test]
    fn an_import_is_whole_and_belongs_to_nobody() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().expect("directory");
        let from = dir.path().join("from");
        for (path, text) in [
            ("usr/bin/true", "x"),
            ("etc/hostname", "builder"),
            ("etc/ssh/ssh_host_rsa_key", "secret"),
            ("etc/ssh/sshd_config", "kept"),
        ] {
            let path = from.join(path);
            fs::create_dir_all(path.parent().expect("parent")).expect("directory");
            fs::write(path, text).expect("file");
        }
        let layout = Layout(dir.path().join("compute"));
        let about = Import {
            name: "mine".into(),
            ..Import::default()
        };
        import(&layout, &from, "ami-1", Some(about.clone())).expect("import");
        let root = layout.images().join("ami-1/root");
        assert!(root.join("usr/bin/true").is_file() && root.join("proc").is_dir());
        assert!(root.join("etc/ssh/sshd_config").is_file());
        assert!(!root.join("etc/hostname").exists());
        assert!(!root.join("etc/ssh/ssh_host_rsa_key").exists());
        let expected = Image {
            id: "ami-1".into(),
            below: None,
            import: Some(about.clone()),
        };
        assert_eq!(list(&layout).expect("list"), [expected]);
        let found = layers(&layout, &ImageId("ami-1".into())).expect("layers");
        assert!(found.usr.is_none() && found.root == [root]);

        // What links lead to outside stays.
        let sly = root_of(&dir, "sly");
        std::os::unix::fs::symlink(from.join("etc"), sly.join("etc")).expect("link");
        depersonalize(&sly).expect("nothing to do");
        assert!(
            from.join("etc/hostname").exists() && from.join("etc/ssh/ssh_host_rsa_key").exists()
        );

        let empty = dir.path().join("empty");
        fs::create_dir_all(&empty).expect("directory");
        let refused = import(&layout, &empty, "ami-2", Some(about)).expect_err("refused");
        assert!(refused.to_string().contains("/usr/bin"), "{refused}");
        remove(&layout, "ami-1").expect("remove");
        assert_eq!(list(&layout).expect("list"), []);
        assert_eq!(fs::read_dir(layout.images()).expect("images").count(), 0);
    }
}
