import Foundation
import KernelTestSupport

/// JSON as a test reads it.
enum JSONValue: Decodable, Equatable, Sendable {
    case object([String: JSONValue]), list([JSONValue]), text(String), number(Double), flag(Bool), null

    init(_ text: String) throws {
        do {
            self = try JSONDecoder().decode(JSONValue.self, from: Data(text.utf8))
        } catch {
            throw Unmet(description: "no JSON: \(text)")
        }
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let value = try? container.decode([String: JSONValue].self) {
            self = .object(value)
        } else if let value = try? container.decode([JSONValue].self) {
            self = .list(value)
        } else if let value = try? container.decode(String.self) {
            self = .text(value)
        } else if let value = try? container.decode(Bool.self) {
            self = .flag(value)
        } else if let value = try? container.decode(Double.self) {
            self = .number(value)
        } else {
            self = .null
        }
    }

    subscript(_ key: String) -> JSONValue {
        if case .object(let members) = self { members[key] ?? .null } else { .null }
    }

    subscript(_ index: Int) -> JSONValue { array.indices.contains(index) ? array[index] : .null }

    var array: [JSONValue] { if case .list(let elements) = self { elements } else { [] } }
    var string: String? { if case .text(let text) = self { text } else { nil } }
    var int: Int? { if case .number(let number) = self { Int(number) } else { nil } }
    /// The names of an object's members, in order.
    var keys: [String] { if case .object(let members) = self { members.keys.sorted() } else { [] } }
}
