import CBench
import FoundationEssentials
import Glibc

/// Where a run took place: what a reader needs to know of absolute figures.
struct Environment: Codable, CustomStringConvertible {
    let kernel: String
    let architecture: String
    let processor: String
    let cores: Int
    let date: String
    /// Whether nothing could interrupt the measuring thread but the kernel itself.
    let isRealTime: Bool

    init(isRealTime: Bool) {
        var names = utsname()
        uname(&names)
        kernel = text(names.release)
        architecture = text(names.machine)
        processor =
            lines(of: "/proc/cpuinfo").first { $0.hasPrefix("model name") }?
            .split(separator: ":").last.map { String($0.drop { $0 == " " || $0 == "\t" }) } ?? "unknown"
        cores = Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        date = Date().formatted(.iso8601.year().month().day())
        self.isRealTime = isRealTime
    }

    var description: String {
        "Linux \(kernel) \(architecture), \(cores) x \(processor), \(date)\(isRealTime ? ", real-time" : "")"
    }
}

/// The lines of a small file; none where it cannot be read.
func lines(of path: String) -> [Substring] {
    // Files of procfs claim to have no size.
    guard let file = fopen(path, "r") else { return [] }
    defer { fclose(file) }
    var text: [UInt8] = []
    while true {
        let byte = fgetc(file)
        if byte == EOF { break }
        text.append(UInt8(byte))
    }
    return String(decoding: text, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
}

/// The string in a fixed array of C.
private func text<Characters>(_ characters: Characters) -> String {
    withUnsafeBytes(of: characters) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
}
