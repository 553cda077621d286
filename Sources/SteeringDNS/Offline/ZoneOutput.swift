import Glibc

/// Why a zone could not be written: one sentence with the remedy.
public struct OfflineZoneError: Error, Sendable, CustomStringConvertible {
    /// The sentence.
    public let message: String
    /// The message.
    public var description: String { message }

    init(_ message: String) { self.message = message }
}

/// A file that is written through a buffer, beside the one that it replaces in one step when all of it is there.
///
/// Dropped before that, it leaves nothing behind.
struct ZoneOutput: ~Copyable {
    private let descriptor: CInt
    /// The file that it becomes, and what it is called until then; nil for standard output.
    private let paths: (final: String, beside: String)?
    private var buffer: [UInt8] = []
    private var isFinished = false
    /// How many bytes were written.
    private(set) var size = 0

    private static let bufferSize = 1 << 20

    /// - Parameter path: The file; "-" for standard output.
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
            // Nothing is there to be removed.
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

    /// Appends a number in decimal digits.
    mutating func append(_ number: UInt32) {
        if number >= 10 { append(number / 10) }
        buffer.append(UInt8(ascii: "0") + UInt8(number % 10))
    }

    /// Appends a byte of a label, so that a reader of zone files takes it for itself.
    @inline(__always)
    mutating func appendEscaped(_ byte: UInt8) {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"):
            buffer.append(byte)
        default: SteeringDNS.appendEscaped(byte, special: DNSName.specialInNames, to: &buffer)
        }
    }

    /// To be called between records, so that the buffer stays small.
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

    /// Writes what is left, and puts the file in its place.
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
