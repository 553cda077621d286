import CLibBPF
import CSteering
import Glibc

/// Where the steering of a network namespace is pinned: `<bpffs>/steering/<inode of the namespace>`.
///
///     program link                        what is attached; only root may open them
///     policy token grace                  the tables in force
///     sockets registrations metrics verdicts
///     bindings-<generation>               the policy that they were compiled from
///     layout-<version>                    an empty directory: what all this means
///
/// Beside it stand `lock-<inode>`, which is locked, and `new-<inode>`: what is being built, or taken apart.
/// Only the holder of the lock touches that; whatever is in it, nothing depends on it.
struct Pins: Sendable, Hashable {
    let bpffs: String
    let inode: UInt64

    static let layout = Int(STEERING_ABI_VERSION)

    var root: String { "\(bpffs)/steering" }
    var directory: String { "\(root)/\(inode)" }
    var draft: String { "\(root)/new-\(inode)" }
    var lock: String { "\(root)/lock-\(inode)" }

    /// Who may read what is pinned, beside root.
    struct Readers: Sendable, Hashable {
        let group: gid_t?

        init(group: gid_t?) { self.group = group }

        /// Those of an existing directory.
        init(of directory: String) throws(SteeringError) {
            let status = try status(of: directory)
            group = status.st_mode & 0o050 == 0o050 ? status.st_gid : nil
        }

        fileprivate func admit(to path: String, mode: mode_t) throws(SteeringError) {
            guard let group else { return }
            try storageCall("chown", path) { chown(path, uid_t.max, group) }
            try storageCall("chmod", path) { chmod(path, mode) }
        }
    }

    // MARK: - Writing

    /// Makes the directories that everything is in.
    ///
    /// - Throws: `storageUnavailable`.
    func prepare() throws(SteeringError) {
        try checkFileSystem()
        try makeDirectory(root, 0o755)
    }

    /// A directory for a new state, empty.
    func makeDraft(for readers: Readers) throws(SteeringError) {
        try Pins.remove(draft)
        try makeDirectory(draft, 0o700)
        try makeDirectory("\(draft)/layout-\(Self.layout)", 0o755)
        try readers.admit(to: draft, mode: 0o750)
    }

    /// Pins an object.
    ///
    /// - Parameter readers: Who may open it for reading; nil for root only.
    static func pin(_ descriptor: CInt, at path: String, for readers: Readers?) throws(SteeringError) {
        let result = bpf_obj_pin(descriptor, path)
        guard result >= 0 else { throw .storage("pinning", path, -result) }
        try readers?.admit(to: path, mode: 0o640)
    }

    /// Takes a directory and what is pinned there away. What is not there is no error.
    static func remove(_ directory: String) throws(SteeringError) {
        for name in try entries(of: directory) {
            let path = "\(directory)/\(name)"
            if unlink(path) != 0, errno == EISDIR || errno == EPERM { rmdir(path) }
        }
        if rmdir(directory) != 0, errno != ENOENT { throw .storage("removing", directory, errno) }
    }

    // MARK: - Reading

    /// Opens an object that is pinned.
    ///
    /// - Throws: `damagedState` when there is none, `storageUnavailable` when it may not be opened.
    static func open(_ path: String, toWrite: Bool) throws(SteeringError) -> SharedDescriptor {
        let opened = toWrite ? bpf_obj_get(path) : csteering_open_pin_to_read(path)
        guard opened >= 0 else {
            if opened == -ENOENT || opened == -EINVAL || opened == -ENOTDIR {
                throw .damaged("\(path) is missing or no BPF object")
            }
            throw .storage("opening", path, -opened)
        }
        let owned = OwnedDescriptor(owning: opened)
        try systemCall("fcntl") { fcntl(opened, F_SETFD, FD_CLOEXEC) }
        return SharedDescriptor(owned)
    }

    /// The names in a directory; none when it does not exist.
    static func entries(of directory: String) throws(SteeringError) -> [String] {
        guard let stream = opendir(directory) else {
            if errno == ENOENT { return [] }
            throw .storage("reading", directory, errno)
        }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }

    /// The identity of a directory: another one after it was replaced.
    static func identity(of directory: String) throws(SteeringError) -> UInt64 {
        UInt64(try status(of: directory).st_ino)
    }

    /// Checks that a directory's state is of the layout that this version writes.
    ///
    /// - Throws: `olderLayout`, `newerLayout`, `damagedState`.
    static func checkLayout(of directory: String) throws(SteeringError) {
        let found = try layout(of: directory)
        guard found >= layout else { throw .olderLayout(found, directory) }
        guard found == layout else { throw .newerLayout(found, directory) }
    }

    static func layout(of directory: String) throws(SteeringError) -> Int {
        if access("\(directory)/layout-\(layout)", F_OK) == 0 { return layout }
        let names = try entries(of: directory).filter { $0.hasPrefix("layout-") }
        guard let name = names.first, names.count == 1, let number = Int(name.dropFirst("layout-".count)) else {
            throw .damaged("\(directory) does not say its layout")
        }
        return number
    }

    /// Network namespaces for which something is pinned.
    static func namespaces(bpffs: String) throws(SteeringError) -> [Pins] {
        let numbers = try entries(of: "\(bpffs)/steering").compactMap { name in
            UInt64(name.drop { !$0.isNumber })
        }
        return Set(numbers).sorted().map { Pins(bpffs: bpffs, inode: $0) }
    }

    // MARK: - The file system

    /// - Throws: `storageUnavailable` where there is no bpffs.
    func checkFileSystem() throws(SteeringError) {
        var facts = statfs()
        guard statfs(bpffs, &facts) == 0 else { throw .noFileSystem(bpffs, describe(errno: errno)) }
        guard facts.f_type == 0xcafe_4a11 else { throw .noFileSystem(bpffs, "another file system is there") }
    }

    private func makeDirectory(_ path: String, _ mode: mode_t) throws(SteeringError) {
        if mkdir(path, mode) != 0, errno != EEXIST { throw .storage("making directory", path, errno) }
    }
}

private func status(of path: String) throws(SteeringError) -> stat {
    var status = stat()
    try storageCall("stat", path) { stat(path, &status) }
    return status
}

private func storageCall(_ name: String, _ path: String, _ body: () -> CInt) throws(SteeringError) {
    do throws(SteeringError) { try systemCall(name, body) } catch { throw .storage(name, path, error.errno) }
}

extension SteeringError {
    static func storage(_ doing: String, _ path: String, _ error: CInt) -> SteeringError {
        let remedy =
            switch error {
            case EROFS: "remount it writable (mount -o remount,rw)"
            case ENOSPC, EDQUOT, EMFILE, ENFILE, ENOMEM: "free some, or raise the limit"
            case EACCES, EPERM: "run as root, or as a member of the group that `load` was given"
            default: "see that bpffs is mounted there, and that nothing else writes to it"
            }
        return SteeringError(
            .storageUnavailable, "\(doing) \(path) failed (\(describe(errno: error))): \(remedy)",
            cause: .systemCall(doing, errno: error))
    }

    static func noFileSystem(_ path: String, _ why: String) -> SteeringError {
        let absence = FileSystem.absence(at: path, ours: ["steer", "doctor"])
        let commands = absence.commands.map { $0.map(RemedyPlace.quoted).joined(separator: " ") }
        return SteeringError(
            .storageUnavailable,
            "there is no BPF file system at \(path) \(absence.reason) (\(why))"
                + (commands.isEmpty ? "" : ": " + commands.joined(separator: " && ")))
    }

    static func damaged(_ what: String) -> SteeringError {
        SteeringError(
            .damagedState,
            "the pinned state is damaged (\(what)): `steer doctor` says whether upgrading mends it, which traffic does not notice"
        )
    }

    static func notLoaded(_ pins: Pins) -> SteeringError {
        SteeringError(
            .notLoaded, "no steering is loaded in network namespace \(pins.inode) (under \(pins.root)): load it first")
    }

    static func alreadyLoaded(_ pins: Pins) -> SteeringError {
        SteeringError(
            .alreadyLoaded,
            "steering is loaded in network namespace \(pins.inode) already (\(pins.directory)): use it, or upgrade it")
    }

    static func olderLayout(_ found: Int, _ directory: String) -> SteeringError {
        SteeringError(
            .olderLayout,
            "\(directory) was written by an older version (layout \(found), this one has \(Pins.layout)): upgrade it")
    }

    static func newerLayout(_ found: Int, _ directory: String) -> SteeringError {
        SteeringError(
            .newerLayout,
            "\(directory) was written by a newer version (layout \(found), this one knows \(Pins.layout)): use that version"
        )
    }
}
