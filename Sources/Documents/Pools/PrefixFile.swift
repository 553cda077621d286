package import AddressPools
import Glibc

/// A file with one prefix per line that commands edit.
///
/// Comment lines are kept, and a trailing comment stays with its prefix.
package struct PrefixFile: Sendable {
    private struct Line {
        var prefix: IPPrefix?
        /// The text after the prefix, or the whole line if there is no prefix.
        var rest: String
    }

    package let path: String
    private var lines: [Line] = []

    /// Reads a file.
    ///
    /// A missing file counts as empty.
    package init(_ path: String) throws(DocumentError) {
        self.path = path
        guard access(path, F_OK) == 0 || errno != ENOENT else { return }
        let bytes = try InputFile.contents(of: path)
        let prefixes = try PrefixList.prefixes(in: bytes, Source(name: path))
        var next = prefixes[...]
        let texts = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        for (number, text) in texts.enumerated() {
            if number == texts.count - 1, text.isEmpty { break }
            if let (prefix, place) = next.first, place.position.line == number + 1 {
                let comment = text.drop { $0 != UInt8(ascii: "#") }
                lines.append(
                    Line(prefix: prefix, rest: comment.isEmpty ? "" : "  " + String(decoding: comment, as: UTF8.self)))
                next.removeFirst()
            } else {
                lines.append(Line(prefix: nil, rest: String(decoding: text, as: UTF8.self)))
            }
        }
    }

    /// The addresses of all lines.
    package var addresses: PrefixPool { PrefixPool(lines.compactMap(\.prefix)) }

    /// The prefixes in file order, with their comments.
    package var entries: [(prefix: IPPrefix, comment: String)] {
        lines.compactMap { line in
            line.prefix.map { ($0, String(line.rest.drop { $0 == " " || $0 == "#" })) }
        }
    }

    /// Adds addresses, and removes lines without a comment that the added prefixes make redundant.
    package mutating func add(_ pool: PrefixPool, comment: String? = nil) {
        lines.removeAll { line in line.rest.isEmpty && line.prefix.map(pool.contains) ?? false }
        for prefix in pool.subtracting(addresses).prefixes {
            lines.append(Line(prefix: prefix, rest: comment.map { "  # \($0)" } ?? ""))
        }
    }

    /// Removes addresses.
    ///
    /// The rest of a partly removed prefix replaces it, with its comment.
    package mutating func remove(_ pool: PrefixPool) {
        lines = lines.flatMap { line -> [Line] in
            guard let prefix = line.prefix, PrefixPool([prefix]).overlaps(pool) else { return [line] }
            return PrefixPool([prefix]).subtracting(pool).prefixes.map { Line(prefix: $0, rest: line.rest) }
        }
    }

    private var text: String {
        lines.map { ($0.prefix?.description ?? "") + $0.rest + "\n" }.joined()
    }
}

extension PrefixFile {
    /// Changes a file atomically, under a lock that excludes other commands.
    ///
    /// Readers see the complete old or new file.
    ///
    /// - Throws: The error of the closure, or an error if the file cannot be read, locked within ten seconds, or
    ///   written. The file is unchanged then.
    package static func change(
        _ path: String, _ change: (inout PrefixFile) throws(DocumentError) -> Void
    ) throws(DocumentError) {
        let path = try resolved(path)
        let lock = try locked(path)
        defer { close(lock) }
        var file = try PrefixFile(path)
        let before = file.text
        try change(&file)
        if file.text != before { try write(file.text, to: path) }
    }

    /// Returns the target of a path, so that a symbolic link to the file is kept.
    private static func resolved(_ path: String) throws(DocumentError) -> String {
        guard let real = realpath(path, nil) else {
            var link = stat()
            guard lstat(path, &link) != 0 || link.st_mode & S_IFMT != S_IFLNK else {
                throw DocumentError("\(path) is a symbolic link to no file: create that file, or remove the link")
            }
            return path
        }
        defer { free(real) }
        return String(cString: real)
    }

    /// Locks the file's directory and returns its descriptor.
    ///
    /// A lock on the file itself would be lost when it is replaced.
    private static func locked(_ path: String) throws(DocumentError) -> CInt {
        let directory = InputFile.directory(of: path)
        let number = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard number >= 0 else { throw unwritable(path, errno) }
        for _ in 0..<100 {
            if flock(number, LOCK_EX | LOCK_NB) == 0 { return number }
            usleep(100_000)
        }
        close(number)
        throw DocumentError("another command has been changing files in \(directory) for ten seconds: try again")
    }

    private static func write(_ text: String, to path: String) throws(DocumentError) {
        do throws(ReplacedFile.Failure) { try ReplacedFile.write(Array(text.utf8), to: path) } catch {
            throw unwritable(path, error.errno)
        }
    }

    private static func unwritable(_ path: String, _ error: CInt) -> DocumentError {
        let remedy =
            switch error {
            case ENOSPC, EDQUOT: "make room"
            case EPERM: "run this as the file's owner, or as root"
            default: "check the permissions of its folder"
            }
        return DocumentError("\(path) cannot be written, \(String(cString: strerror(error))): \(remedy)")
    }
}
