import Foundation
import Testing

/// A JSON value, with numbers that are integers.
indirect enum JSONValue: Hashable {
    case null
    case truth(Bool)
    case number(Int)
    case text(String)
    case list([JSONValue])
    case object([String: JSONValue])

    init(_ text: String) throws { self = try JSONDecoder().decode(JSONValue.self, from: Data(text.utf8)) }

    subscript(key: String) -> JSONValue? { if case .object(let members) = self { members[key] } else { nil } }

    var members: [String: JSONValue] { if case .object(let members) = self { members } else { [:] } }
    var elements: [JSONValue] { if case .list(let elements) = self { elements } else { [] } }
    var string: String? { if case .text(let text) = self { text } else { nil } }
    var integer: Int? { if case .number(let number) = self { number } else { nil } }

    /// The value as JSON, with sorted keys.
    var json: String {
        switch self {
        case .null: "null"
        case .truth(let value): "\(value)"
        case .number(let value): "\(value)"
        case .text(let value):
            String(decoding: try! JSONEncoder().encode(value), as: UTF8.self)
        case .list(let values): "[\(values.map(\.json).joined(separator: ", "))]"
        case .object(let members):
            "{"
                + members.sorted { $0.key < $1.key }
                .map { "\(JSONValue.text($0.key).json): \($0.value.json)" }.joined(separator: ", ") + "}"
        }
    }
}

extension JSONValue: Decodable {
    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let value = try? container.decode(Bool.self) {
            self = .truth(value)
        } else if let value = try? container.decode(Int.self) {
            self = .number(value)
        } else if let value = try? container.decode(String.self) {
            self = .text(value)
        } else if let value = try? container.decode([JSONValue].self) {
            self = .list(value)
        } else if let value = try? container.decode([String: JSONValue].self) {
            self = .object(value)
        } else {
            self = .null
        }
    }
}

/// A JSON Schema (draft 2020-12), as far as the schemas of this package go: another keyword is an error.
struct JSONSchema {
    struct UnknownKeyword: Error {
        let keyword: String
    }

    let root: JSONValue
    private var patterns: [String: Regex<AnyRegexOutput>] = [:]

    init(contentsOf file: URL) throws {
        root = try JSONValue(String(contentsOf: file, encoding: .utf8))
        for schema in all { if let text = schema["pattern"]?.string { patterns[text] = try Regex(text) } }
    }

    func accepts(_ value: JSONValue) throws -> Bool { try accepts(value, root) }

    /// All schemas in the schema, itself included.
    var all: [JSONValue] { Self.all(in: root) }

    private static func all(in value: JSONValue) -> [JSONValue] {
        [value] + value.members.values.flatMap(all) + value.elements.flatMap(all)
    }

    private func accepts(_ value: JSONValue, _ schema: JSONValue) throws -> Bool {
        for (keyword, argument) in schema.members {
            guard try accepts(value, keyword, argument, schema) else { return false }
        }
        return true
    }

    private func accepts(
        _ value: JSONValue, _ keyword: String, _ argument: JSONValue, _ schema: JSONValue
    ) throws -> Bool {
        switch keyword {
        case "$schema", "$defs", "title", "description": return true
        case "$ref": return try accepts(value, definition(argument.string!))
        case "type": return (argument.string.map { [$0] } ?? argument.elements.map(\.string!)).contains { value.is($0) }
        case "enum": return argument.elements.contains(value)
        case "const": return argument == value
        case "anyOf": return try argument.elements.contains { try accepts(value, $0) }
        case "oneOf": return try argument.elements.filter { try accepts(value, $0) }.count == 1
        case "not": return try !accepts(value, argument)
        case "minimum": return value.integer.map { $0 >= argument.integer! } ?? true
        case "maximum": return value.integer.map { $0 <= argument.integer! } ?? true
        case "minLength": return value.string.map { $0.unicodeScalars.count >= argument.integer! } ?? true
        case "maxLength": return value.string.map { $0.unicodeScalars.count <= argument.integer! } ?? true
        case "pattern":
            return value.string.map { $0.contains(patterns[argument.string!]!) } ?? true
        default: return try acceptsParts(of: value, keyword, argument, schema)
        }
    }

    /// Keywords about objects and lists.
    private func acceptsParts(
        of value: JSONValue, _ keyword: String, _ argument: JSONValue, _ schema: JSONValue
    ) throws -> Bool {
        switch keyword {
        case "items":
            let first = schema["prefixItems"]?.elements.count ?? 0
            return try value.elements.dropFirst(first).allSatisfy { try accepts($0, argument) }
        case "prefixItems":
            return try zip(value.elements, argument.elements).allSatisfy { try accepts($0, $1) }
        case "minItems": if case .list(let elements) = value { return elements.count >= argument.integer! }
        case "maxItems": if case .list(let elements) = value { return elements.count <= argument.integer! }
        case "minProperties": if case .object(let members) = value { return members.count >= argument.integer! }
        case "required":
            if case .object(let members) = value { return argument.elements.allSatisfy { members[$0.string!] != nil } }
        case "properties":
            return try argument.members.allSatisfy { key, part in try value[key].map { try accepts($0, part) } ?? true }
        case "propertyNames": return try value.members.keys.allSatisfy { try accepts(.text($0), argument) }
        case "additionalProperties":
            let others = value.members.filter { schema["properties"]?[$0.key] == nil }
            if argument == .truth(false) { return others.isEmpty }
            return try others.values.allSatisfy { try accepts($0, argument) }
        case "dependentSchemas":
            return try argument.members.allSatisfy { key, part in try value[key] == nil || accepts(value, part) }
        default: throw UnknownKeyword(keyword: keyword)
        }
        return true
    }

    private func definition(_ reference: String) throws -> JSONValue {
        try #require(root["$defs"]?[String(reference.dropFirst("#/$defs/".count))], "\(reference)")
    }
}

extension JSONValue {
    fileprivate func `is`(_ type: String) -> Bool {
        switch self {
        case .null: type == "null"
        case .truth: type == "boolean"
        case .number: type == "number" || type == "integer"
        case .text: type == "string"
        case .list: type == "array"
        case .object: type == "object"
        }
    }
}
