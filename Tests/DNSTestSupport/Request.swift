import SteeringDNS

/// A query, encoded as JSON for client.py.
package struct Request: Encodable, Sendable {
    package var `do` = "ask"
    package var name: String?
    package var type: String?
    package var `class`: String?
    /// The flags of the header as they are in the message; RD unless said.
    package var flags: Int?
    package var opcode: Int?
    package var id: Int?
    package var edns: EDNS?
    /// All of the message, in hexadecimal digits, instead.
    package var raw: String?
    /// The address that it is sent from.
    package var from: String?
    /// For silence: a name that is answered.
    package var probe: String?
    package var pieces: [String]?
    package var answers: Int?
    package var waits: Bool?
    /// For what goes on: a file that ends it.
    package var until: String?

    package init(_ name: String, _ type: String = "A") {
        self.name = name
        self.type = type
    }

    package init(raw: String) { self.raw = raw }

    /// With other values.
    package func with(_ change: (inout Request) -> Void) -> Request {
        var request = self
        change(&request)
        return request
    }

    package func edns(
        payload: Int = 1_232, version: Int = 0, flags: Int = 0, _ options: [(code: Int, data: String)] = []
    ) -> Request {
        with {
            $0.edns = EDNS(
                payload: payload, version: version, flags: flags,
                options: options.map { .init(code: $0.code, data: $0.data) })
        }
    }

    package struct EDNS: Codable, Equatable, Sendable {
        package var payload = 1_232
        package var version = 0
        package var flags = 0
        package var options: [Option] = []

        package init(payload: Int = 1_232, version: Int = 0, flags: Int = 0, options: [Option] = []) {
            (self.payload, self.version, self.flags, self.options) = (payload, version, flags, options)
        }
    }

    package struct Option: Codable, Equatable, Sendable {
        package let code: Int
        package let data: String

        package init(code: Int, data: String) { (self.code, self.data) = (code, data) }

        package init(from decoder: any Decoder) throws {
            var container = try decoder.unkeyedContainer()
            (code, data) = (try container.decode(Int.self), try container.decode(String.self))
        }

        package func encode(to encoder: any Encoder) throws {
            var container = encoder.unkeyedContainer()
            try container.encode(code)
            try container.encode(data)
        }
    }
}

// MARK: - Messages

extension Request {
    /// The bytes of the query, as client.py makes them.
    package var message: [UInt8] {
        if let raw { return bytes(raw) }
        var message = bytes(hexadecimal(id ?? 0x1234) + hexadecimal((opcode ?? 0) << 11 | (flags ?? 0x0100)))
        message += [0, 1, 0, 0, 0, 0, 0, edns == nil ? 0 : 1]
        message += Self.wire(of: name ?? ".")
        message += bytes(hexadecimal(Int(RecordType(type ?? "A")!.rawValue)) + hexadecimal(classNumber))
        if let edns {
            let options = edns.options.map { hexadecimal($0.code) + hexadecimal($0.data.count / 2) + $0.data }.joined()
            message += bytes(
                "000029" + hexadecimal(edns.payload) + hexadecimal(edns.version) + hexadecimal(edns.flags)
                    + hexadecimal(options.count / 2) + options)
        }
        return message
    }

    private var classNumber: Int {
        switch self.class ?? "IN" {
        case "IN": 1
        case "CH": 3
        case "HS": 4
        case "NONE": 254
        case "ANY": 255
        case let name: Int(name.trimmingPrefix("CLASS"))!
        }
    }

    /// The name with its letters as they are written.
    private static func wire(of name: String) -> [UInt8] {
        name.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0]
    }
}

/// A message of RFC 1035's form, with what its sections have, in hexadecimal digits.
package func message(_ counts: [Int], _ sections: String, flags: String = "0000") -> Request {
    Request(raw: "1234" + flags + counts.map { hexadecimal($0) }.joined() + sections)
}

/// An OPT record without its owner.
package func opt(_ options: String = "", payload: Int = 1_232, version: String = "00", length: Int? = nil) -> String {
    "0029" + hexadecimal(payload) + "00" + version + "0000" + hexadecimal(length ?? options.count / 2) + options
}

/// Four digits.
package func hexadecimal(_ number: Int) -> String { hexadecimal([UInt8(number >> 8), UInt8(number & 255)]) }

package func hexadecimal(_ bytes: [UInt8]) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}

/// The bytes that pairs of hexadecimal digits stand for.
package func bytes(_ digits: String) -> [UInt8] {
    let values = digits.utf8.map { UInt8(ascii: "a") <= $0 | 0x20 ? ($0 | 0x20) - 87 : $0 - 48 }
    return stride(from: 0, to: values.count - 1, by: 2).map { values[$0] << 4 | values[$0 + 1] }
}
