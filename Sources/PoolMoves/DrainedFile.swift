import AddressPools
import Documents
import Glibc

/// The file that `drained-from` names: the drained prefixes of a pool, and when each was drained.
package enum DrainedFile {
    package struct Entry: Sendable {
        package let prefix: IPPrefix
        /// Seconds since 1970, rounded up, so that no command counts from before the line was written.
        package let since: Int
    }

    /// The comment that records when a line was written.
    package static func comment(at seconds: Int) -> String { "drained \(text(of: seconds))" }

    /// Returns a time in UTC, such as 2026-01-31T12:00:00Z.
    package static func text(of seconds: Int) -> String {
        var time = time_t(seconds), parts = tm()
        gmtime_r(&time, &parts)
        var text = [CChar](repeating: 0, count: 32)
        let count = strftime(&text, text.count, "%Y-%m-%dT%H:%M:%SZ", &parts)
        return String(decoding: text[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Returns the entries of a file; lines without such a comment count from the file's last change.
    package static func entries(of path: String) throws(DocumentError) -> [Entry] {
        let written = changed(path).map { Int($0) + 1 } ?? 0
        return try PrefixFile(path).entries.map { Entry(prefix: $0.prefix, since: seconds($0.comment) ?? written) }
    }

    /// Returns when a file was last changed, in seconds since 1970; nil if it does not exist.
    package static func changed(_ path: String) -> Double? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        return Double(status.st_mtim.tv_sec) + Double(status.st_mtim.tv_nsec) / 1e9
    }

    private static func seconds(_ comment: String) -> Int? {
        guard comment.hasPrefix("drained ") else { return nil }
        let numbers = comment.split { !$0.isNumber }.compactMap { CInt($0) }
        guard numbers.count >= 6 else { return nil }
        var parts = tm()
        (parts.tm_year, parts.tm_mon, parts.tm_mday) = (numbers[0] - 1900, numbers[1] - 1, numbers[2])
        (parts.tm_hour, parts.tm_min, parts.tm_sec) = (numbers[3], numbers[4], numbers[5])
        return Int(timegm(&parts))
    }
}
