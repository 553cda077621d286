import AddressPools
import Documents

/// The reason why a list of names was refused.
struct ListError: Error {
    /// The problem and the remedy: one sentence.
    let message: String
    /// The position of what a list does not have there, in the bytes that its line is in; nil if the line is in order.
    var position: Int?

    /// Returns the error with its place. If the line is of another format, that is the problem.
    ///
    /// - Parameters:
    ///   - file: The name of the list.
    ///   - number: The number of the line.
    ///   - line: The bytes of the line.
    ///   - start: The position of the line.
    func document(_ file: String, line number: Int, _ line: [UInt8], at start: Int) -> DocumentError {
        guard let position else { return DocumentError("\(file):\(number): \(message)") }
        // Columns count Unicode scalars: all bytes but those that continue one.
        let column = 1 + line.prefix(position - start).count { $0 & 0xC0 != 0x80 }
        let sentence = ForeignFormat(of: line).map { $0.sentence(converting: file) } ?? message
        return Source(name: file).error(at: Position(line: number, column: column), sentence)
    }
}
