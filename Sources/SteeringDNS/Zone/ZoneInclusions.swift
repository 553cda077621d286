import AddressPools
import Documents

/// The files that a zone file includes: those that are open, and limits on all of them.
struct ZoneInclusions {
    static let deepest = 16
    static let most = 10_000

    /// The directory of the file that is being read; nil if nothing may be included.
    private(set) var directory: String?
    /// The files that are being read, the outermost first; nil for text that is in no file.
    private var open: [FileIdentity?]
    private var count = 0
    /// The paths of all files that were included, each once.
    private(set) var paths: [String] = []
    private var directories: [String?] = []

    init(directory: String?, identity: FileIdentity? = nil) {
        self.directory = directory
        open = [identity]
    }

    /// Reads a file, and makes it the one that is being read.
    ///
    /// - Parameter room: The number of bytes that it may have.
    mutating func enter(_ name: String, room: Int) throws(FieldRefusal) -> (path: String, bytes: [UInt8]) {
        guard let directory else {
            throw FieldRefusal("$INCLUDE needs a file that its path is relative to; put the lines of that file here")
        }
        let path = InputFile.path(name, in: directory)
        guard open.count <= ZoneInclusions.deepest else {
            throw FieldRefusal("files include each other more than 16 deep; include this one further up")
        }
        guard count < ZoneInclusions.most else {
            throw FieldRefusal("more than 10,000 files are included; join some of them")
        }
        let identity = FileIdentity(path)
        guard identity == nil || !open.contains(identity) else {
            throw FieldRefusal("\(quoted(name)) is being read already, so it would include itself; remove this line")
        }
        let bytes: [UInt8]
        do throws(DocumentError) {
            bytes = try InputFile.contents(of: path, limit: ZoneLexer.largestFile)
        } catch {
            let message = error.message.replacing(path, with: quoted(name))
            throw FieldRefusal("\(message); paths are relative to the directory of this file")
        }
        guard bytes.count <= room else {
            throw FieldRefusal("the zone is larger than 256 MiB with the files that it includes; split it")
        }
        count += 1
        if !paths.contains(path) { paths.append(path) }
        open.append(identity)
        directories.append(directory)
        self.directory = InputFile.directory(of: path)
        return (path, bytes)
    }

    /// Returns to the file that included this one.
    mutating func leave() {
        open.removeLast()
        directory = directories.removeLast()
    }
}

extension ZoneFile {
    /// Returns the paths of a zone file and of all files that it includes, to be watched for changes.
    ///
    /// Looks only for lines that begin with `$INCLUDE`, so it is fast, and works for files with errors. Files need not
    /// exist.
    package static func files(from path: String) -> [String] {
        var paths = [path]
        var next = 0
        var room = ZoneLexer.largestFile
        while next < paths.count, paths.count <= ZoneInclusions.most {
            let file = paths[next]
            next += 1
            guard let bytes = try? InputFile.contents(of: file, limit: room) else { continue }
            room -= bytes.count
            for name in namesIncluded(in: bytes) {
                let path = InputFile.path(name, in: InputFile.directory(of: file))
                if !paths.contains(path) { paths.append(path) }
            }
        }
        return paths
    }

    private static func namesIncluded(in bytes: [UInt8]) -> [String] {
        let directive = Array("$include".utf8)
        var names: [String] = []
        var start = 0
        while start < bytes.count {
            let end = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
            if bytes[start] == directive[0], bytes[start..<end].prefix(8).map(lowercased) == directive {
                let words = bytes[start..<end].dropFirst(8).split { $0 <= 0x20 || $0 == UInt8(ascii: "\"") }
                if let name = words.first { names.append(String(decoding: name, as: UTF8.self)) }
            }
            start = end + 1
        }
        return names
    }
}
