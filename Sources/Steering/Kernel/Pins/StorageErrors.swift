import Glibc

/// Errors of the pins in the BPF file system.
extension SteeringError {
    static func storage(_ doing: String, _ path: String, _ error: CInt) -> SteeringError {
        let remedy =
            switch error {
            case EROFS: "remount it writable (mount -o remount,rw)"
            case ENOSPC, EDQUOT, EMFILE, ENFILE, ENOMEM: "free some, or raise the limit"
            case EACCES, EPERM: "run as root, or as a member of the group that `load` was given"
            default: "check that bpffs is mounted there, and that nothing else writes to it"
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

    static func notOurs(_ path: String, _ why: String) -> SteeringError {
        SteeringError(
            .storageUnavailable,
            "\(path) \(why): use a BPF file system of this user or root (mount -t bpf -o mode=0700 bpf PATH), or remove it there"
        )
    }

    static func damaged(_ what: String) -> SteeringError {
        SteeringError(
            .damagedState,
            "the pinned state is damaged (\(what)): `steer doctor` shows whether an upgrade fixes it, which does not affect traffic"
        )
    }

    /// The error for a missing pin that an upgrade recreates.
    static func mendable(_ path: String) -> SteeringError {
        SteeringError(
            .damagedState,
            "the pinned state is damaged (\(path) is missing): upgrade it, which restores that pin and breaks no connection"
        )
    }

    static func notLoaded(_ pins: Pins) -> SteeringError {
        SteeringError(
            .notLoaded, "no steering is loaded in network namespace \(pins.inode) (under \(pins.root)): load it first")
    }

    static func alreadyLoaded(_ pins: Pins) -> SteeringError {
        SteeringError(
            .alreadyLoaded,
            "steering is already loaded in network namespace \(pins.inode) (\(pins.directory)): use it, or upgrade it")
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
