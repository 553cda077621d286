/// The reason why a zone file was refused, and the place.
public struct ZoneFileError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The name of the file, as passed by the caller.
    public let file: String
    /// The line, from 1.
    public let line: Int
    /// The byte in the line, from 1.
    public let column: Int
    /// One sentence: the problem and the remedy.
    public let message: String

    /// `FILE:LINE:COLUMN: sentence`.
    public var description: String { "\(file):\(line):\(column): \(message)" }
}
