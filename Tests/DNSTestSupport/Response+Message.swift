import AddressPools
import SteeringDNS

extension Response {
    /// Reads an answer to a query. Throws if it is malformed or has bytes left over.
    package init(_ message: [UInt8], to query: [UInt8]) throws {
        self.init()
        var reader = try MessageReader(message)
        let head = try (0..<6).map { _ in try reader.number(2) }
        id = message.prefix(2) == query.prefix(2)
        flags = [
            (0x8000, "qr"), (0x0400, "aa"), (0x0200, "tc"), (0x0100, "rd"), (0x80, "ra"), (0x20, "ad"), (0x10, "cd"),
        ]
        .filter { head[1] & $0.0 != 0 }.map(\.1).joined(separator: " ")
        z = head[1] & 0x40 != 0
        opcode = head[1] >> 11 & 15
        questions = head[2]
        for _ in 0..<questions {
            _ = try reader.name()
            _ = try reader.number(4)
        }
        echo = questions == 0 || message[12..<reader.position] == query[12..<min(reader.position, query.count)]
        var extendedCode = 0
        answer = try (0..<head[3]).map { _ in try reader.record().text }.sorted()
        authority = try (0..<head[4]).map { _ in try reader.record().text }.sorted()
        for _ in 0..<head[5] {
            let record = try reader.record()
            guard record.type == .OPT else {
                additional.append(record.text)
                continue
            }
            guard edns == nil, record.owner == "." else { throw reader.malformed("two OPT records, or not the root's") }
            extendedCode = (record.ttl >> 24) << 4
            edns = .init(
                payload: record.recordClass, version: record.ttl >> 16 & 255, flags: record.ttl & 0xFFFF,
                options: try reader.options(record.data))
        }
        additional.sort()
        guard reader.position == message.count else { throw reader.malformed("bytes are left over") }
        code = Self.codes[extendedCode | head[1] & 15] ?? "code \(extendedCode | head[1] & 15)"
        size = message.count
        wire = hexadecimal(message)
    }

    private static let codes = [
        0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 6: "YXDOMAIN",
        9: "NOTAUTH", 16: "BADVERS",
    ]
}

/// Reads a message from front to back, by RFC 1035 alone: it shares no code with the server.
private struct MessageReader {
    struct Record {
        let owner: String
        let type: RecordType
        let recordClass: Int
        let ttl: Int
        /// The range of the data in the message, and the data as text.
        let data: Range<Int>
        let content: String

        /// As dnspython writes it.
        var text: String {
            let classes = [1: "IN", 3: "CH"]
            return "\(owner) \(ttl) \(classes[recordClass] ?? "CLASS\(recordClass)") \(type) \(content)"
        }
    }

    private let message: [UInt8]
    private(set) var position = 0

    init(_ message: [UInt8]) throws {
        self.message = message
    }

    func malformed(_ what: String) -> UnexpectedResponse {
        UnexpectedResponse(description: "\(what) at \(position): \(hexadecimal(message))")
    }

    mutating func number(_ size: Int) throws -> Int { try bytes(size).reduce(0) { $0 << 8 | Int($1) } }

    private mutating func bytes(_ count: Int) throws -> ArraySlice<UInt8> {
        guard position + count <= message.count else { throw malformed("the message ends too early") }
        position += count
        return message[(position - count)..<position]
    }

    /// A name with its letters as they are. Pointers lead to the front.
    mutating func name() throws -> String {
        var text = ""
        var end: Int?
        while case let length = try number(1), length != 0 {
            guard length >= 0xC0 else {
                guard length < 64 else { throw malformed("a label of an unknown form") }
                text += String(decoding: try bytes(length), as: UTF8.self) + "."
                continue
            }
            position -= 1
            let start = position
            let target = try number(2) & 0x3FFF
            guard target < start, target >= 12 else { throw malformed("a pointer that leads on") }
            end = end ?? position
            position = target
        }
        if let end { position = end }
        return text.isEmpty ? "." : text
    }

    mutating func record() throws -> Record {
        let owner = try name()
        let type = RecordType(rawValue: UInt16(try number(2)))
        let recordClass = try number(2), ttl = try number(4), length = try number(2)
        let data = position..<(position + length)
        let content = try self.content(type, data)
        guard position == data.upperBound else { throw malformed("data of another length") }
        return Record(owner: owner, type: type, recordClass: recordClass, ttl: ttl, data: data, content: content)
    }

    private mutating func content(_ type: RecordType, _ data: Range<Int>) throws -> String {
        switch type {
        case .A, .AAAA:
            let bits = try bytes(data.count).reduce(UInt128(0)) { $0 << 8 | UInt128($1) }
            guard data.count == (type == .A ? 4 : 16) else { throw malformed("an address of another length") }
            return (type == .A ? IPAddress(ipv4: UInt32(bits)) : IPAddress(ipv6: bits)).description
        case .NS, .CNAME, .DNAME: return try name()
        case .MX: return "\(try number(2)) \(try name())"
        case .SOA:
            let names = "\(try name()) \(try name())"
            return try (0..<5).reduce(names) { text, _ in "\(text) \(try number(4))" }
        case .TXT, .HINFO:
            var texts: [String] = []
            while position < data.upperBound {
                texts.append("\"\(String(decoding: try bytes(try number(1)), as: UTF8.self))\"")
            }
            return texts.joined(separator: " ")
        default: return "\\# \(data.count) \(hexadecimal(Array(try bytes(data.count))))"
        }
    }

    /// The options of an OPT record.
    func options(_ data: Range<Int>) throws -> [Request.Option] {
        var reader = self
        reader.position = data.lowerBound
        var options: [Request.Option] = []
        while reader.position < data.upperBound {
            let code = try reader.number(2)
            options.append(.init(code: code, data: hexadecimal(Array(try reader.bytes(try reader.number(2))))))
        }
        guard reader.position == data.upperBound else { throw malformed("options that overrun their record") }
        return options
    }
}
