import AddressPools
import Documents
import Glibc

/// Reads lists of names: a name a line, sorted or not, and behind it attributes such as `account=free`, which spaces
/// part. Blank lines and what follows a # are left out.
///
/// A list streams through a buffer, so that only the table of all lists grows with it.
struct NameListReader: ~Copyable {
    private(set) var classes = NameClasses()
    private var builder = NameTable.Builder()
    private var keys = NameKeys()
    private var wire: [UInt8] = []
    /// The attributes of the last line that had any, and their class: neighbours are often alike.
    private var lastAttributes: (text: [UInt8], list: Int, nameClass: NameClass)?
    /// Told, now and then, how many bytes were read, and of how many, where that is known.
    private let progress: ((Int, Int?) -> Void)?

    init(progress: ((Int, Int?) -> Void)? = nil) { self.progress = progress }

    /// The table of all that was read.
    mutating func table() throws(ListError) -> NameTable {
        let all = builder
        builder = NameTable.Builder()
        var classes = classes
        let table = try all.table { (one, other) throws(ListError) in try classes.union(one, other) }
        self.classes = classes
        return table
    }

    /// Reads a list from a file, or from standard input for "-".
    mutating func read(list: Int, contentsOf path: String) throws(DocumentError) {
        let name = path == "-" ? "standard input" : path
        let descriptor = path == "-" ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw DocumentError(
                "\(name) cannot be read, \(String(cString: strerror(errno))): check its name and permissions")
        }
        defer { close(descriptor) }
        var status = stat()
        let size = fstat(descriptor, &status) == 0 && status.st_mode & S_IFMT == S_IFREG ? Int(status.st_size) : nil
        // A guess from below: no line with a name is much shorter.
        if let size { builder.reserve(size / 24) }
        var lines = Lines(name: name)
        var chunk = [UInt8](repeating: 0, count: 1 << 20)
        var total = 0
        while true {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw DocumentError("\(name) cannot be read, \(String(cString: strerror(errno))): check the file")
            }
            total += count
            // The last line may lack its end.
            let isLast = count == 0
            try lines.take(isLast ? [UInt8(ascii: "\n")] : chunk, isLast ? 1 : count) {
                bytes, range throws(ListError) in
                try take(bytes, range, list)
            }
            progress?(total, size)
            if isLast { return }
        }
    }

    /// Takes a line: a name, then attributes.
    private mutating func take(_ bytes: Span<UInt8>, _ line: Range<Int>, _ list: Int) throws(ListError) {
        var position = line.lowerBound
        while position < line.upperBound, bytes[position].isSpace { position += 1 }
        guard position < line.upperBound, bytes[position] != UInt8(ascii: "#") else { return }
        let start = position
        while position < line.upperBound, !bytes[position].isSpace { position += 1 }
        try readName(bytes, start..<position)
        let nameClass = try nameClass(of: bytes, position..<line.upperBound, list)
        builder.add(keys.last, nameClass)
        var depth = keys.depth - 1
        while depth > 0, builder.addAncestor(keys[depth]) { depth -= 1 }
    }

    /// Puts a name into wire form, and its keys into ``keys``.
    private mutating func readName(_ bytes: Span<UInt8>, _ range: Range<Int>) throws(ListError) {
        // Lent to this call, and kept for the next.
        var wire = wire
        self.wire = []
        defer { self.wire = wire }
        wire.removeAll(keepingCapacity: true)
        wire.append(0)
        var lengthAt = 0
        var hasEscape = false
        for position in range {
            let byte = bytes[position]
            switch byte {
            case UInt8(ascii: "."):
                guard wire.count - lengthAt - 1 > 0 else { throw invalidName(bytes, range) }
                lengthAt = wire.count
                wire.append(0)
            case UInt8(ascii: "\\"): hasEscape = true
            case 0x21...0x7E:
                wire.append(byte)
                wire[lengthAt] += 1
                // Checked here, where the length still fits its byte.
                guard wire[lengthAt] < 64 else { throw invalidName(bytes, range) }
            default: throw invalidName(bytes, range)
            }
            if hasEscape { break }
        }
        if hasEscape {
            do { wire = try DNSName(String(decoding: range.map { bytes[$0] }, as: UTF8.self)).wire } catch {
                throw ListError(message: error.message)
            }
        } else if wire[lengthAt] != 0 {
            wire.append(0)
        }
        guard wire.count > 1, wire.count <= 255 else { throw invalidName(bytes, range) }
        keys.read(wire.span, at: 0)
    }

    private func invalidName(_ bytes: Span<UInt8>, _ range: Range<Int>) -> ListError {
        let text = String(decoding: range.prefix(80).map { bytes[$0] }, as: UTF8.self)
        return ListError(
            message:
                "\(quoted(text)) is not a name: write labels of 1 to 63 visible characters joined by dots, at most 253 in all"
        )
    }

    private mutating func nameClass(
        of bytes: Span<UInt8>, _ range: Range<Int>, _ list: Int
    ) throws(ListError) -> NameClass {
        if let last = lastAttributes, last.list == list, last.text.count == range.count,
            zip(last.text, range).allSatisfy({ $0 == bytes[$1] })
        {
            return last.nameClass
        }
        let text = range.map { bytes[$0] }
        var words: Set<String> = []
        for word in text.split(whereSeparator: \.isSpace) {
            if word.first == UInt8(ascii: "#") { break }
            let word = String(decoding: word, as: UTF8.self)
            guard let equals = word.firstIndex(of: "="), equals != word.startIndex, word.utf8.count <= 64 else {
                throw ListError(message: "\(quoted(word)) is not an attribute: write key=value, at most 64 bytes")
            }
            words.insert(word)
        }
        let nameClass = try classes.nameClass(of: [.init(list: list, attributes: words.sorted())])
        lastAttributes = (text, list, nameClass)
        return nameClass
    }
}

extension UInt8 {
    fileprivate var isSpace: Bool {
        self == UInt8(ascii: " ") || self == UInt8(ascii: "\t") || self == UInt8(ascii: "\r")
    }
}

/// Parts what streams by into lines.
private struct Lines {
    let name: String
    private var number = 0
    /// The beginning of a line whose end is yet to come.
    private var begun: [UInt8] = []

    /// No name with its attributes is longer.
    private static let limit = 1 << 16

    init(name: String) { self.name = name }

    mutating func take(
        _ chunk: [UInt8], _ count: Int, _ each: (Span<UInt8>, Range<Int>) throws(ListError) -> Void
    ) throws(DocumentError) {
        let bytes = chunk.span
        var start = 0
        var position = 0
        while position < count {
            guard bytes[position] == UInt8(ascii: "\n") else {
                position += 1
                continue
            }
            number += 1
            do throws(ListError) {
                if begun.isEmpty {
                    try each(bytes, start..<position)
                } else {
                    begun += chunk[start..<position]
                    try each(begun.span, 0..<begun.count)
                    begun.removeAll(keepingCapacity: true)
                }
            } catch { throw DocumentError("\(name):\(number): \(error.message)") }
            position += 1
            start = position
        }
        begun += chunk[start..<count]
        guard begun.count <= Self.limit else {
            throw DocumentError(
                "\(name):\(number + 1): the line is longer than 64 KiB and is no name: check that this is the file you mean"
            )
        }
    }
}
