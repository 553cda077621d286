import Glibc
import Steering

/// A path that others cannot redirect, to a file that others cannot write. Others are all users except root and this
/// process's own.
struct TrustedPath {
    private let path: String
    private let user = geteuid()

    /// Checks a file, and each directory and symbolic link on its path.
    ///
    /// - Throws: `invalidPolicyFile`, naming what others can change.
    static func check(_ path: String) throws(SteeringError) { try TrustedPath(path: path).check() }

    private func check() throws(SteeringError) {
        var links = 0
        var place = ""
        var names = Self.names(in: path)
        if !path.hasPrefix("/") { names = Self.names(in: try Self.link("/proc/self/cwd")) + names }
        try check("/", try status(of: "/"))
        while !names.isEmpty {
            let name = names.removeFirst()
            if name == ".." {
                place = String(place[..<(place.lastIndex(of: "/") ?? place.startIndex)])
                continue
            }
            let next = "\(place)/\(name)"
            let status = try status(of: next)
            try check(next, status)
            guard status.st_mode & S_IFMT == S_IFLNK else {
                place = next
                continue
            }
            links += 1
            guard links <= 40 else { throw SteeringError.failed("readlink", ELOOP) }
            let target = try Self.link(next)
            if target.hasPrefix("/") { place = "" }
            names = Self.names(in: target) + names
        }
    }

    private func check(_ place: String, _ status: stat) throws(SteeringError) {
        guard status.st_uid == 0 || status.st_uid == user else {
            throw .untrusted(path, "\(place) belongs to user \(status.st_uid)", "chown root \(place)")
        }
        let kind = status.st_mode & S_IFMT
        // In a sticky directory such as /tmp, users can rename or remove only their own files.
        let isSticky = kind == S_IFDIR && status.st_mode & S_ISVTX != 0
        guard kind == S_IFLNK || isSticky || status.st_mode & 0o022 == 0 else {
            let who = status.st_mode & 0o002 != 0 ? "everybody" : "its group"
            throw .untrusted(path, "\(who) may write \(place)", "chmod go-w \(place)")
        }
    }

    private func status(of place: String) throws(SteeringError) -> stat {
        var status = stat()
        try systemCall("lstat") { lstat(place, &status) }
        return status
    }

    private static func names(in path: String) -> [Substring] { path.split(separator: "/").filter { $0 != "." } }

    private static func link(_ path: String) throws(SteeringError) -> String {
        let size = Int(PATH_MAX)
        var target = [CChar](repeating: 0, count: size)
        let count = readlink(path, &target, size)
        guard count >= 0 else { throw SteeringError.failed("readlink", errno) }
        return String(decoding: target[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

extension SteeringError {
    fileprivate static func untrusted(_ path: String, _ problem: String, _ remedy: String) -> SteeringError {
        SteeringError(
            .invalidPolicyFile,
            "\(path) defines what steerd starts, and others could change it (\(problem)): \(remedy)")
    }
}
