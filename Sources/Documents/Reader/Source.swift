internal import AddressPools

/// A place in a text; both numbers begin at 1, and columns count Unicode scalars.
package struct Position: Hashable, Sendable {
    package var line = 1
    package var column = 1

    package init(line: Int = 1, column: Int = 1) {
        self.line = line
        self.column = column
    }

    /// Moves past a scalar.
    mutating func pass(_ scalar: Unicode.Scalar) {
        if scalar == "\n" { (line, column) = (line + 1, 1) } else { column += 1 }
    }
}

/// A place in a file: `FILE:LINE:COLUMN`.
package struct Place: CustomStringConvertible, Sendable {
    package let file: String
    package let position: Position

    package var description: String { "\(file):\(position.line):\(position.column)" }
}

/// The text that is being read, for its errors.
package struct Source: Sendable {
    package let name: String

    package init(name: String) { self.name = name }

    package func place(_ position: Position) -> Place { Place(file: name, position: position) }

    package func error(at position: Position, _ sentence: String) -> DocumentError {
        DocumentError("\(place(position)): \(sentence)")
    }

    /// The bytes as text. Only what both YAML and JSON may contain goes through: UTF-8 without control characters,
    /// so nothing that a terminal would obey or a C string would end at.
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
