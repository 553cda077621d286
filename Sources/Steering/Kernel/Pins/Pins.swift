import CLibBPF
import CSteering
import Glibc

/// The pins of the steering of one network namespace: `<bpffs>/steering/<inode of the namespace>`.
///
///     program link                        the attached program and its link; only root may open them
///     policy token grace                  the tables in force
///     sockets registrations metrics verdicts
///     bindings-<generation>               the policy from which the tables were compiled
///     layout-<version>                    an empty directory that names the layout of all these pins
///
/// Two siblings belong to it: `lock-<inode>`, the directory that writers lock, and `new-<inode>`, the draft directory
/// in which a state is built or taken apart. Only the holder of the lock touches the draft directory, and nothing
/// depends on its contents.
struct Pins: Sendable, Hashable {
    let bpffs: String
    let inode: UInt64

    static let layout = Int(STEERING_ABI_VERSION)

    var root: String { "\(bpffs)/steering" }
    var directory: String { "\(root)/\(inode)" }
    var draft: String { "\(root)/new-\(inode)" }
    var lock: String { "\(root)/lock-\(inode)" }

    /// The group that may read the pins, besides root.
    struct Readers: Sendable, Hashable {
        let group: gid_t?

        init(group: gid_t?) { self.group = group }

        /// Reads the group from an existing directory.
        init(of directory: String) throws(SteeringError) {
            guard let status = try Pins.status(of: directory) else { throw .storage("opening", directory, ENOENT) }
            group = status.st_mode & 0o050 == 0o050 ? status.st_gid : nil
        }

        /// Grants the readers access to a file or directory that only its owner can open so far, regardless of the
        /// umask.
        fileprivate func admit(to path: String, mode: mode_t) throws(SteeringError) {
            if let group { try storageCall("chown", path) { chown(path, uid_t.max, group) } }
            try storageCall("chmod", path) { chmod(path, group == nil ? mode & 0o700 : mode) }
        }
    }

    // MARK: - Writing

    /// Creates the directory of all pins, which every user may enter.
    ///
    /// - Throws: `storageUnavailable`.
    func prepare() throws(SteeringError) {
        try Pins.makeDirectory(root, 0o755)
        // A directory that existed already may belong to another user, or be a symbolic link.
        try checkOwners()
        guard let status = try Pins.status(of: root), status.st_mode & 0o777 != 0o755, status.st_uid == geteuid() else {
            return
        }
        try storageCall("chmod", root) { chmod(root, 0o755) }
    }

    /// Creates an empty draft directory for a new state.
    func makeDraft(for readers: Readers) throws(SteeringError) {
        try finish()
        try Pins.makeDirectory(draft, 0o700)
        try Pins.makeDirectory("\(draft)/layout-\(Self.layout)", 0o755)
        try readers.admit(to: draft, mode: 0o750)
    }

    /// Creates a directory unless it exists, regardless of the umask.
    static func makeDirectory(_ path: String, _ mode: mode_t) throws(SteeringError) {
        do throws(SteeringError) {
            try storageCall("making directory", path) { mkdir(path, mode) }
        } catch {
            guard error.errno == EEXIST else { throw error }
            return
        }
        try storageCall("chmod", path) { chmod(path, mode) }
    }

    /// Pins a BPF object.
    ///
    /// - Parameter readers: The readers of the pin; nil for root only.
    static func pin(_ descriptor: CInt, at path: String, for readers: Readers?) throws(SteeringError) {
        let result = uninterrupted { bpf_obj_pin(descriptor, path) }
        guard result >= 0 else { throw .storage("pinning", path, -result) }
        try (readers ?? Readers(group: nil)).admit(to: path, mode: 0o640)
    }

    /// Removes one of our directories and its pins. A missing directory is no error.
    ///
    /// Follows no symbolic link, enters no other file system, and removes only empty subdirectories.
    static func remove(_ directory: String) throws(SteeringError) {
        let opened: CInt
        do throws(SteeringError) {
            opened = try storageCall("opening", directory) {
                Glibc.open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
            }
        } catch {
            switch error.errno {
            case ENOENT: return
            case ENOTDIR, ELOOP: return try unlink(directory)
            default: throw error
            }
        }
        let owned = OwnedDescriptor(owning: opened)
        var facts = statfs()
        try storageCall("statfs", directory) { fstatfs(owned.rawValue, &facts) }
        guard isBPF(facts) else { throw .notOurs(directory, "is not in the BPF file system") }
        for name in try entries(of: directory) {
            try unlink("\(directory)/\(name)", name, in: owned.rawValue)
        }
        do throws(SteeringError) { try storageCall("removing", directory) { rmdir(directory) } } catch {
            guard error.errno == ENOENT else { throw error }
        }
    }

    /// Removes a pin, a symbolic link, or an empty directory. A missing one is no error.
    static func unlink(_ path: String) throws(SteeringError) { try unlink(path, path, in: AT_FDCWD) }

    private static func unlink(_ path: String, _ name: String, in directory: CInt) throws(SteeringError) {
        do throws(SteeringError) {
            try storageCall("removing", path) { unlinkat(directory, name, 0) }
        } catch {
            switch error.errno {
            case ENOENT: return
            case EISDIR: try storageCall("removing", path) { unlinkat(directory, name, AT_REMOVEDIR) }
            default: throw error
            }
        }
    }

    // MARK: - Reading

    /// Opens a pinned object.
    ///
    /// - Throws: `damagedState` if it is missing, `storageUnavailable` if it cannot be opened.
    static func open(_ path: String, toWrite: Bool) throws(SteeringError) -> SharedDescriptor {
        guard let opened = try openIfThere(path, toWrite: toWrite) else { throw .damaged("\(path) is missing") }
        return opened
    }

    /// Opens a pinned object, or returns nil if there is none. Every other failure is an error.
    static func openIfThere(_ path: String, toWrite: Bool) throws(SteeringError) -> SharedDescriptor? {
        // The kernel sets close-on-exec.
        let opened = uninterrupted { toWrite ? bpf_obj_get(path) : csteering_open_pin_to_read(path) }
        switch -opened {
        case ...0: return SharedDescriptor(OwnedDescriptor(owning: opened))
        case ENOENT: return nil
        case EINVAL, ENOTDIR: throw .damaged("\(path) is not a BPF object")
        default: throw .storage("opening", path, -opened)
        }
    }

    /// Returns the names in a directory, or none if it does not exist.
    static func entries(of directory: String) throws(SteeringError) -> [String] {
        guard let stream = opendir(directory) else {
            if errno == ENOENT { return [] }
            throw .storage("reading", directory, errno)
        }
        defer { closedir(stream) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else {
                guard errno == 0 else { throw .storage("reading", directory, errno) }
                return names
            }
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
    }

    /// Returns the inode number of a directory, which changes when the directory is replaced; nil if there is none.
    static func identity(of directory: String) throws(SteeringError) -> UInt64? {
        try status(of: directory).map { UInt64($0.st_ino) }
    }

    /// Returns the status of a path without following a symbolic link (lstat); nil if it does not exist.
    static func status(of path: String) throws(SteeringError) -> stat? {
        var status = stat()
        do throws(SteeringError) { try storageCall("looking at", path) { lstat(path, &status) } } catch {
            guard error.errno == ENOENT else { throw error }
            return nil
        }
        return status
    }

    /// Checks that the state in a directory has the layout that this version writes.
    ///
    /// - Throws: `olderLayout`, `newerLayout`, `damagedState`.
    static func checkLayout(of directory: String) throws(SteeringError) {
        let found = try layout(of: directory)
        guard found >= layout else { throw .olderLayout(found, directory) }
        guard found == layout else { throw .newerLayout(found, directory) }
    }

    static func layout(of directory: String) throws(SteeringError) -> Int {
        if try status(of: "\(directory)/layout-\(layout)") != nil { return layout }
        let names = try entries(of: directory).filter { $0.hasPrefix("layout-") }
        guard let name = names.first, names.count == 1, let number = Int(name.dropFirst("layout-".count)) else {
            throw .damaged("\(directory) has no layout entry, or several")
        }
        return number
    }

    /// Returns the network namespaces that have pins.
    static func namespaces(bpffs: String) throws(SteeringError) -> [Pins] {
        let place = Pins(bpffs: bpffs, inode: 0)
        try place.checkFileSystem()
        let numbers = try entries(of: place.root).compactMap { name in UInt64(name.drop { !$0.isNumber }) }
        return Set(numbers).sorted().map { Pins(bpffs: bpffs, inode: $0) }
    }

    // MARK: - The file system

    /// Checks that there is a bpffs in which no other user can replace our pins.
    ///
    /// - Throws: `storageUnavailable`.
    func checkFileSystem() throws(SteeringError) {
        var facts = statfs()
        do throws(SteeringError) { try systemCall("statfs") { statfs(bpffs, &facts) } } catch {
            throw .noFileSystem(bpffs, describe(errno: error.errno))
        }
        guard Self.isBPF(facts) else { throw .noFileSystem(bpffs, "another file system is there") }
        try checkOwners()
    }

    /// Checks the owners of the directories. The owner of a directory, and anyone who can write to it, can replace its
    /// entries.
    private func checkOwners() throws(SteeringError) {
        var mounted = stat()
        try storageCall("looking at", bpffs) { stat(bpffs, &mounted) }
        // In a sticky directory, other users can add entries but not rename or remove those of others.
        let isSticky = mounted.st_mode & mode_t(S_ISVTX) != 0
        try Self.checkOwner(bpffs, mounted, mayBeShared: isSticky)
        guard let status = try Self.status(of: root) else { return }
        guard status.st_mode & S_IFMT == S_IFDIR else { throw .notOurs(root, "is not a directory") }
        try Self.checkOwner(root, status, mayBeShared: false)
    }

    private static func checkOwner(_ path: String, _ status: stat, mayBeShared: Bool) throws(SteeringError) {
        guard status.st_uid == 0 || status.st_uid == geteuid() else {
            throw .notOurs(path, "belongs to user \(status.st_uid), who could replace what is pinned there")
        }
        guard mayBeShared || status.st_mode & 0o022 == 0 else {
            throw .notOurs(path, "is writable by others, who could replace what is pinned there")
        }
    }

    private static func isBPF(_ facts: statfs) -> Bool { facts.f_type == 0xcafe_4a11 }
}

@discardableResult
private func storageCall(_ name: String, _ path: String, _ body: () -> CInt) throws(SteeringError) -> CInt {
    do throws(SteeringError) { return try systemCall(name, body) } catch { throw .storage(name, path, error.errno) }
}
