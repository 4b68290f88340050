//! A depot against an oracle that keeps every volume and snapshot as plain bytes.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const SIZE: u64 = 64 * BLOCK as u64;

fn key(name: &str) -> Option<Key> {
    Some(Key([name.len() as u8; 64]))
}

#[derive(Debug, Clone)]
enum Step {
    Write {
        start: u64,
        len: u64,
        byte: u8,
    },
    Discard {
        start: u64,
        len: u64,
    },
    Snapshot,
    /// Goes on with a new volume made from the snapshot of this number, modulo how many there are.
    Restore(usize),
    DeleteSnapshot(usize),
    Grow,
    /// Drops the image without a flush being asked for, and opens it again.
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let range =
        || (0..SIZE, 1..6 * BLOCK as u64).prop_map(|(start, len)| (start, len.min(SIZE - start)));
    prop_oneof![
        6 => (range(), 1u8..).prop_map(|((start, len), byte)| Step::Write { start, len, byte }),
        2 => range().prop_map(|(start, len)| Step::Discard { start, len }),
        2 => Just(Step::Snapshot),
        1 => any::<usize>().prop_map(Step::Restore),
        1 => any::<usize>().prop_map(Step::DeleteSnapshot),
        1 => Just(Step::Grow),
        1 => Just(Step::Reopen),
    ]
}

/// One volume at a time, and what it and the snapshots must hold.
struct World {
    depot: Depot,
    key: Option<&'static str>,
    volume: String,
    image: Image,
    bytes: Vec<u8>,
    snapshots: BTreeMap<String, Vec<u8>>,
    made: usize,
}

impl World {
    fn new(dir: &Path, key_name: Option<&'static str>) -> Self {
        let depot = Depot::open(dir).unwrap();
        depot
            .create("vol-0", SIZE, Source::Blank, key_name, &key)
            .unwrap();
        let image = depot.image("vol-0", &key).unwrap();
        Self {
            depot,
            key: key_name,
            volume: "vol-0".into(),
            image,
            bytes: vec![0; SIZE as usize],
            snapshots: BTreeMap::new(),
            made: 0,
        }
    }

    fn pick(&self, number: usize) -> Option<String> {
        let count = self.snapshots.len();
        (count > 0).then(|| self.snapshots.keys().nth(number % count).cloned())?
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Write { start, len, byte } => {
                let bytes = vec![byte; len as usize];
                self.image.write(start, &bytes).unwrap();
                self.bytes[start as usize..][..len as usize].copy_from_slice(&bytes);
            }
            Step::Discard { start, len } => {
                self.image.discard(start, len).unwrap();
                self.bytes[start as usize..][..len as usize].fill(0);
            }
            Step::Snapshot => {
                self.made += 1;
                let name = format!("snap-{}", self.made);
                self.depot
                    .snapshot(&self.volume, &name, &mut self.image, &key)
                    .unwrap();
                self.snapshots.insert(name, self.bytes.clone());
            }
            Step::Restore(number) => self.restore(number),
            Step::DeleteSnapshot(number) => {
                if let Some(name) = self.pick(number) {
                    self.depot.delete_snapshot(&name).unwrap();
                    self.snapshots.remove(&name);
                    self.depot.sweep().unwrap();
                }
            }
            Step::Grow => {
                let size = self.image.size() + 3 * BLOCK as u64;
                self.depot
                    .grow(&self.volume, size, Some(&mut self.image))
                    .unwrap();
                self.bytes.resize(size as usize, 0);
            }
            Step::Reopen => {
                self.image.flush().unwrap();
                self.image = self.depot.image(&self.volume, &key).unwrap();
            }
        }
    }

    fn restore(&mut self, number: usize) {
        let Some(snapshot) = self.pick(number) else {
            return;
        };
        self.made += 1;
        let volume = format!("vol-{}", self.made);
        self.bytes = self.snapshots[&snapshot].clone();
        let size = self.bytes.len() as u64;
        self.depot
            .create(&volume, size, Source::Snapshot(&snapshot), self.key, &key)
            .unwrap();
        self.image = self.depot.image(&volume, &key).unwrap();
        self.depot
            .delete(&std::mem::replace(&mut self.volume, volume))
            .unwrap();
        self.depot.sweep().unwrap();
    }

    fn check(&self) {
        let mut read = vec![0; self.bytes.len()];
        self.image.read(0, &mut read).unwrap();
        assert!(read == self.bytes, "the volume differs");
        for (name, bytes) in &self.snapshots {
            let mut whole = Vec::new();
            for piece in 0..(bytes.len() as u64).div_ceil(PIECE) {
                whole.extend(self.depot.read_piece(name, piece, &key).unwrap());
            }
            assert!(whole[..bytes.len()] == bytes[..], "{name} differs");
            assert!(whole[bytes.len()..].iter().all(|&byte| byte == 0));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn volumes_and_snapshots_hold_what_was_written(
        steps in prop::collection::vec(step(), 1..40),
        sealed in any::<bool>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut world = World::new(dir.path(), sealed.then_some("a-key"));
        for step in &steps {
            world.run(step);
            world.check();
        }
    }
}

#[test]
fn only_what_changed_is_listed() {
    let dir = tempfile::tempdir().unwrap();
    let depot = Depot::open(dir.path()).unwrap();
    depot
        .create("vol", 16 * PIECE, Source::Blank, None, &key)
        .unwrap();
    let mut image = depot.image("vol", &key).unwrap();
    for piece in [1, 2, 9] {
        image.write(piece * PIECE + 5, b"first").unwrap();
    }
    depot.snapshot("vol", "one", &mut image, &key).unwrap();
    image.write(9 * PIECE, b"second").unwrap();
    image.write(15 * PIECE - 1, b"on a border").unwrap();
    depot.snapshot("vol", "two", &mut image, &key).unwrap();
    assert_eq!(depot.pieces("one", &key).unwrap(), [1, 2, 9]);
    assert_eq!(depot.pieces("two", &key).unwrap(), [1, 2, 9, 14, 15]);
    let changed = depot.changed("one", "two", &key).unwrap().unwrap();
    let held = changed.iter().map(|it| (it.piece, it.in_first));
    assert!(held.eq([(9, true), (14, false), (15, false)]));
    assert!(changed.iter().all(|it| it.in_second));
    let back = depot.changed("two", "one", &key).unwrap().unwrap();
    assert!(back.iter().map(|it| it.in_second).eq([true, false, false]));
    // A snapshot that others were built on may go; what has nothing in common is not compared.
    depot.delete_snapshot("one").unwrap();
    assert_eq!(depot.pieces("two", &key).unwrap(), [1, 2, 9, 14, 15]);
    depot
        .create("other", PIECE, Source::Blank, None, &key)
        .unwrap();
    let mut image = depot.image("other", &key).unwrap();
    depot.snapshot("other", "far", &mut image, &key).unwrap();
    assert_eq!(depot.changed("far", "two", &key).unwrap(), None);
}

#[test]
fn a_snapshot_is_written_piece_by_piece() {
    let dir = tempfile::tempdir().unwrap();
    let depot = Depot::open(dir.path()).unwrap();
    let zeros = vec![0; PIECE as usize];
    depot
        .create("vol", 4 * PIECE, Source::Blank, None, &key)
        .unwrap();
    for (piece, byte) in [(2, 7), (0, 1)] {
        let bytes = vec![byte; PIECE as usize];
        depot.write_piece("vol", piece, &bytes, &key).unwrap();
    }
    let first = |bytes: &[u8]| bytes[0];
    assert_eq!(depot.written("vol", &key, first).unwrap(), [1, 7]);
    let mut image = depot.image("vol", &key).unwrap();
    depot.snapshot("vol", "one", &mut image, &key).unwrap();
    depot
        .create("two", 4 * PIECE, Source::Snapshot("one"), None, &key)
        .unwrap();
    // Zeros that were written count too.
    depot.write_piece("two", 2, &zeros, &key).unwrap();
    assert_eq!(depot.written("two", &key, first).unwrap(), [0]);
    assert_eq!(depot.read_piece("one", 2, &key).unwrap()[0], 7);
    assert!(depot.write_piece("two", 4, &zeros, &key).is_err());
}

#[test]
fn a_sealed_volume_is_nowhere_in_the_clear_and_needs_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let depot = Depot::open(dir.path()).unwrap();
    depot
        .create("vol", SIZE, Source::Blank, Some("k"), &key)
        .unwrap();
    let mut image = depot.image("vol", &key).unwrap();
    image.write(100, b"a marker that is easy to find").unwrap();
    image.flush().unwrap();
    for layer in fs::read_dir(dir.path().join("layers")).unwrap() {
        let data = fs::read(layer.unwrap().path().join("data")).unwrap();
        assert!(data.len() >= BLOCK);
        assert!(!data.windows(8).any(|window| window == b"a marker"));
    }
    assert!(matches!(depot.image("vol", &|_| None), Err(Error::Key(name)) if name == "k"));
}

#[test]
fn names_cannot_leave_their_directory() {
    let dir = tempfile::tempdir().unwrap();
    let depot = Depot::open(dir.path()).unwrap();
    for name in ["", "../x", "a/b", "a.b", "\0"] {
        let refused = depot.create(name, SIZE, Source::Blank, None, &key);
        assert!(matches!(refused, Err(Error::Name(_))), "{name:?}");
    }
    assert!(matches!(
        depot.create("v", 5, Source::Blank, None, &key),
        Err(Error::Size(5))
    ));
    assert!(matches!(depot.image("v", &key), Err(Error::Missing(_))));
}

#[test]
fn what_comes_under_another_key_is_sealed_anew() {
    let dir = tempfile::tempdir().unwrap();
    let depot = Depot::open(dir.path()).unwrap();
    depot
        .create("plain", SIZE, Source::Blank, None, &key)
        .unwrap();
    let mut image = depot.image("plain", &key).unwrap();
    image.write(BLOCK as u64 + 7, b"a secret").unwrap();
    depot.snapshot("plain", "first", &mut image, &key).unwrap();
    image.write(9 * BLOCK as u64, b"another").unwrap();
    depot.snapshot("plain", "second", &mut image, &key).unwrap();
    depot
        .copy_snapshot("second", "sealed", Some("k"), &key)
        .unwrap();
    depot
        .create(
            "other",
            2 * SIZE,
            Source::Snapshot("sealed"),
            Some("kk"),
            &key,
        )
        .unwrap();
    for gone in ["first", "second"] {
        depot.delete_snapshot(gone).unwrap();
    }
    drop(image);
    depot.delete("plain").unwrap();
    depot.sweep().unwrap();

    assert_eq!(
        depot.snapshot_keys("sealed").unwrap(),
        ["k".to_owned()].into()
    );
    assert_eq!(
        depot.volume_keys("other").unwrap(),
        ["kk".to_owned()].into()
    );
    assert!(depot.image("other", &|_| None).is_err());
    let image = depot.image("other", &key).unwrap();
    let mut read = [0; 8];
    image.read(BLOCK as u64 + 7, &mut read).unwrap();
    assert_eq!(&read, b"a secret");
    image.read(9 * BLOCK as u64, &mut read).unwrap();
    assert_eq!(&read, b"another\0");
    for layer in fs::read_dir(dir.path().join("layers")).unwrap() {
        let data = fs::read(layer.unwrap().path().join("data")).unwrap();
        assert!(!data.windows(8).any(|bytes| bytes == b"a secret"));
    }
}
