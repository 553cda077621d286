import AddressPools
import Documents
import Glibc

/// A stream over a list of names: one name per line, in any order, followed by attributes such as `account=free`,
/// separated by spaces. Blank lines and comments, from `#` on, are skipped. ``ListedName`` defines what a name is.
///
/// The file is read in chunks of at most 1 MiB, so memory does not grow with the list.
struct NameListStream {
    private let path: String
    /// Called with the bytes read so far and the size of the list, nil if not known.
    private let progress: ((Int, Int?) -> Void)?

    private static let chunk = 1 << 20

    /// Makes a stream over a file.
    ///
    /// - Parameters:
    ///   - path: The path of a regular file, or `-` for standard input.
    ///   - progress: Called after each chunk.
    init(_ path: String, progress: ((Int, Int?) -> Void)? = nil) {
        self.path = path
        self.progress = progress
    }

    /// Returns the size of a list in bytes; nil if it is not a regular file.
    static func size(of path: String) -> Int? {
        var status = stat()
        guard path != "-", stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        return Int(status.st_size)
    }

    /// Reads the list.
    ///
    /// - Parameter each: Receives each name in wire form, its line, and the range of the line after the name. A
    ///   ``ListError`` that it throws becomes a `DocumentError` with the line's place.
    func read(
        _ each: (_ name: Span<UInt8>, _ line: Span<UInt8>, _ attributes: Range<Int>) throws -> Void
    ) throws {
        let name = path == "-" ? "standard input" : path
        let file = path == "-" ? nil : try InputFile.open(path)
        defer { if let file { close(file.descriptor) } }
        let (descriptor, size) = (file?.descriptor ?? STDIN_FILENO, file?.size)
        var lines = Lines(name: name)
        var chunk = [UInt8](repeating: 0, count: min(Self.chunk, max(4_096, (size ?? Self.chunk) + 1)))
        var listed = ListedName()
        var total = 0
        while true {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw DocumentError("\(name) cannot be read, \(String(cString: strerror(errno))): check the file")
            }
            total += count
            // The last line may lack its newline.
            let isLast = count == 0
            try lines.take(isLast ? [UInt8(ascii: "\n")] : chunk, isLast ? 1 : count) { bytes, line in
                guard let end = try listed.read(bytes, line) else { return }
                try each(listed.wire.span.extracting(0..<listed.count), bytes, end..<line.upperBound)
            }
            progress?(total, size)
            if isLast { return }
        }
    }
}

extension UInt8 {
    var isSpace: Bool {
        self == UInt8(ascii: " ") || self == UInt8(ascii: "\t") || self == UInt8(ascii: "\r")
    }
}

/// Splits chunks into lines.
private struct Lines {
    let name: String
    private var number = 0
    /// The beginning of a line that continues in the next chunk.
    private var begun: [UInt8] = []

    /// The longest incomplete line that is kept, in bytes: no name with its attributes is longer.
    private static let limit = 1 << 16

    init(name: String) { self.name = name }

    mutating func take(
        _ chunk: [UInt8], _ count: Int, _ each: (Span<UInt8>, Range<Int>) throws -> Void
    ) throws {
        let bytes = chunk.span
        var start = 0
        var position = 0
        while position < count {
            guard bytes[position] == UInt8(ascii: "\n") else {
                position += 1
                continue
            }
            number += 1
            do {
                if begun.isEmpty {
                    try each(bytes, start..<position)
                } else {
                    begun += chunk[start..<position]
                    try each(begun.span, 0..<begun.count)
                    begun.removeAll(keepingCapacity: true)
                }
            } catch let error as ListError {
                throw begun.isEmpty
                    ? error.document(name, line: number, Array(chunk[start..<position]), at: start)
                    : error.document(name, line: number, begun, at: 0)
            }
            position += 1
            start = position
        }
        begun += chunk[start..<count]
        guard begun.count <= Self.limit else {
            throw DocumentError(
                "\(name):\(number + 1): the line is longer than 64 KiB and is not a name: check that this is the file you mean"
            )
        }
    }
}
