/// Why a zone file was refused, and where.
public struct ZoneFileError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The name of the file, as the caller gave it.
    public let file: String
    /// The line, the first being 1.
    public let line: Int
    /// The place in the line in bytes, the first being 1.
    public let column: Int
    /// One sentence for people: what is wrong, and the remedy.
    public let message: String

    /// `FILE:LINE:COLUMN: sentence`.
    public var description: String { "\(file):\(line):\(column): \(message)" }
}
