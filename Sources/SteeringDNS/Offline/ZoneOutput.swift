import Glibc

/// The reason why a zone file could not be written.
public struct OfflineZoneError: Error, Sendable, CustomStringConvertible {
    /// One sentence: the problem and the remedy.
    public let message: String
    /// The message.
    public var description: String { message }

    init(_ message: String) { self.message = message }
}

/// A buffered file that replaces its target atomically.
///
/// It is written beside the target and renamed by ``finish()``. Dropped before that, it is removed.
struct ZoneOutput: ~Copyable {
    private let descriptor: CInt
    /// The target, and the temporary name beside it; nil for standard output.
    private let paths: (final: String, beside: String)?
    private var buffer: [UInt8] = []
    private var isFinished = false
    /// The number of bytes written.
    private(set) var size = 0

    private static let bufferSize = 1 << 20

    /// Creates the temporary file.
    ///
    /// - Parameter path: The target; `-` for standard output.
    /// - Throws: ``OfflineZoneError`` if the file cannot be created.
    init(_ path: String) throws(OfflineZoneError) {
        buffer.reserveCapacity(Self.bufferSize + 4_096)
        if path == "-" {
            descriptor = dup(STDOUT_FILENO)
            paths = nil
            return
        }
        let slash = path.lastIndex(of: "/").map { path.index(after: $0) } ?? path.startIndex
        let beside = "\(path[..<slash]).\(path[slash...]).\(getpid())"
        unlink(beside)
        descriptor = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
        paths = (path, beside)
        if descriptor < 0 {
            // There is no file for `deinit` to remove.
            isFinished = true
            throw OfflineZoneError("cannot write \(beside), \(Self.reason): check its directory")
        }
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
        if !isFinished, let paths { unlink(paths.beside) }
    }

    @inline(__always)
    mutating func append(_ byte: UInt8) { buffer.append(byte) }

    mutating func append(_ text: String) { buffer.append(contentsOf: text.utf8) }

    /// Appends a number in decimal.
    mutating func append(_ number: UInt32) {
        if number >= 10 { append(number / 10) }
        buffer.append(UInt8(ascii: "0") + UInt8(number % 10))
    }

    /// Appends a byte of a label, escaped if it has a meaning in zone files.
    @inline(__always)
    mutating func appendEscaped(_ byte: UInt8) {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"):
            buffer.append(byte)
        default: SteeringDNS.appendEscaped(byte, special: DNSName.specialInNames, to: &buffer)
        }
    }

    /// Ends a line, and flushes the buffer if it is full.
    @inline(__always)
    mutating func endRecord() throws(OfflineZoneError) {
        buffer.append(UInt8(ascii: "\n"))
        if buffer.count >= Self.bufferSize { try flush() }
    }

    private mutating func flush() throws(OfflineZoneError) {
        while !buffer.isEmpty {
            let count = write(descriptor, buffer, buffer.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw OfflineZoneError(
                    "cannot write \(paths?.beside ?? "to standard output"), \(Self.reason): make room, or write elsewhere"
                )
            }
            size += count
            buffer.removeFirst(count)
        }
    }

    /// Writes the rest, syncs the file, and renames it to the target.
    mutating func finish() throws(OfflineZoneError) {
        try flush()
        guard let paths else { return }
        guard fsync(descriptor) == 0, rename(paths.beside, paths.final) == 0 else {
            throw OfflineZoneError("cannot finish \(paths.final), \(Self.reason): make room, or write elsewhere")
        }
        isFinished = true
    }

    private static var reason: String { String(cString: strerror(errno)) }
}
