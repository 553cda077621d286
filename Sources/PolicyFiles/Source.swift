import Steering

/// A place in a text; both numbers begin at 1, and columns count Unicode scalars.
struct Position: Hashable {
    var line = 1
    var column = 1

    /// Moves past a scalar.
    mutating func pass(_ scalar: Unicode.Scalar) {
        if scalar == "\n" { (line, column) = (line + 1, 1) } else { column += 1 }
    }
}

/// A place in a file: `FILE:LINE:COLUMN`.
struct Place: CustomStringConvertible {
    let file: String
    let position: Position

    var description: String { "\(file):\(position.line):\(position.column)" }
}

/// The text that is being read, for its errors.
struct Source {
    let name: String

    func place(_ position: Position) -> Place { Place(file: name, position: position) }

    func error(at position: Position, _ sentence: String) -> SteeringError {
        .invalidPolicyFile(place(position), sentence)
    }

    /// The bytes as text. Only what both YAML and JSON may contain goes through: UTF-8 without control characters,
    /// so nothing that a terminal would obey or a C string would end at.
    func text(of bytes: [UInt8]) throws(SteeringError) -> String {
        guard bytes.count <= PolicyFile.maximumSize else { throw .tooLarge(name) }
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

extension SteeringError {
    static func invalidPolicyFile(_ place: Place, _ sentence: String) -> SteeringError {
        SteeringError(.invalidPolicyFile, "\(place): \(sentence)")
    }

    static func tooLarge(_ name: String) -> SteeringError {
        SteeringError(
            .invalidPolicyFile,
            "\(name) is larger than \(PolicyFile.maximumSize >> 20) MiB and was not read: join its prefixes into shorter ones"
        )
    }
}
