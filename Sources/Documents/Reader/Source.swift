internal import AddressPools

/// A line and column in a text, both from 1; columns count Unicode scalars.
package struct Position: Hashable, Sendable {
    package var line = 1
    package var column = 1
    /// The number of the included file that it is in, from 1; 0 for the file of the document itself.
    var file = 0

    package init(line: Int = 1, column: Int = 1) {
        self.line = line
        self.column = column
    }

    /// Advances past a scalar.
    mutating func pass(_ scalar: Unicode.Scalar) {
        if scalar == "\n" { (line, column) = (line + 1, 1) } else { column += 1 }
    }
}

/// A position in a file: `FILE:LINE:COLUMN`.
package struct Place: CustomStringConvertible, Sendable {
    package let file: String
    package let position: Position

    package var description: String { "\(file):\(position.line):\(position.column)" }

    /// Returns the line, or the whole place if it is in another file than `other`.
    package func seen(from other: Place) -> String { file == other.file ? "line \(position.line)" : description }
}

/// The name of the text being parsed; creates errors with positions in it.
package struct Source: Sendable {
    package let name: String
    /// The paths of the files that it includes, directly and through others, in the order in which they were read.
    package internal(set) var included: [String] = []

    package init(name: String) { self.name = name }

    package func place(_ position: Position) -> Place {
        Place(file: position.file == 0 ? name : included[position.file - 1], position: position)
    }

    package func error(at position: Position, _ sentence: String) -> DocumentError {
        DocumentError("\(place(position)): \(sentence)")
    }

    /// Returns the bytes as text, which must be valid in both YAML and JSON: UTF-8 without control characters other
    /// than tab and line breaks.
    ///
    /// So it has no terminal escape sequences and no NUL, which would end a C string.
    package func text(of bytes: [UInt8]) throws(DocumentError) -> String {
        guard bytes.count <= Document.maximumSize else { throw InputFile.tooLarge(name) }
        if !bytes.contains(where: isControl), let text = String(validating: bytes, as: UTF8.self) { return text }
        var position = Position()
        var decoder = UTF8()
        var iterator = bytes.makeIterator()
        while case .scalarValue(let scalar) = decoder.decode(&iterator) {
            if scalar.isASCII, isControl(UInt8(scalar.value)) {
                throw error(
                    at: position,
                    "the control character \(quoted(String(scalar))) is not text: remove it, or check that this is the file you mean"
                )
            }
            position.pass(scalar)
        }
        throw error(at: position, "the file is not UTF-8: save it as UTF-8 text")
    }

    private func isControl(_ byte: UInt8) -> Bool {
        (byte < 0x20 && byte != 0x09 && byte != 0x0A && byte != 0x0D) || byte == 0x7F
    }
}
