import Glibc
import Steering

/// A message from steerd to an attendant.
enum AttendantOrder {
    /// Takes the client connection in the message, with its number and the client's user.
    case take(UInt64, uid_t)
    /// Begins to serve the connections taken so far: steerd has closed them, so that they end when the attendant closes
    /// them.
    case begin
    /// Answers the client's pending request. After the last answer the attendant closes the connection.
    case answer([UInt8], isLast: Bool)
    /// Serves everything that has arrived, and then reports `finished`.
    case finish

    var bytes: [UInt8] {
        switch self {
        case .take(let number, let user): Array("take \(number) \(user)".utf8)
        case .begin: Array("begin".utf8)
        case .answer(let reply, let isLast): Array("\(isLast ? "last" : "answer")\n".utf8) + reply
        case .finish: Array("finish".utf8)
        }
    }

    init?(_ bytes: [UInt8]) {
        let end = bytes.firstIndex(of: UInt8(ascii: "\n")) ?? bytes.endIndex
        let words = String(decoding: bytes[..<end], as: UTF8.self).split(separator: " ")
        switch words.first {
        case "take":
            guard words.count == 3, let number = UInt64(words[1]), let user = uid_t(words[2]) else { return nil }
            self = .take(number, user)
        case "begin": self = .begin
        case "finish": self = .finish
        case "answer", "last":
            guard end < bytes.endIndex else { return nil }
            self = .answer(Array(bytes[(end + 1)...]), isLast: words[0] == "last")
        default: return nil
        }
    }
}

/// A client's message as an attendant has inspected it.
struct ClientMessage {
    var bytes: [UInt8]
    /// The sockets in the message if all of them can be steered to, otherwise none.
    var descriptors: [SharedDescriptor] = []
    /// The number of descriptors received.
    var count: Int
    /// The reason why the first unsuitable descriptor cannot be steered to.
    var refusal: SteeringError?
    /// Whether the message exceeded the maximum size, and whether descriptors were lost.
    var isCut: Bool
    var lacksDescriptors: Bool

    /// Inspects a message here in the attendant, where it can harm only its sender.
    init(_ message: MessageSocket.Message) {
        (bytes, count) = (message.bytes, message.descriptors.count)
        (isCut, lacksDescriptors) = (message.isCut, message.lacksDescriptors)
        do throws(SteeringError) {
            for descriptor in message.descriptors {
                _ = try descriptor.lend { number throws(SteeringError) in try SteerableSocket(number) }
            }
            descriptors = message.descriptors
        } catch { refusal = error }
    }
}

/// A message from an attendant to steerd.
enum AttendantReport {
    /// It has begun to serve the connections of an order.
    case taken
    /// A client's connection is closed.
    case gone(UInt64)
    /// A client has sent a request.
    case asks(UInt64, ClientMessage)
    /// Everything that had arrived is served.
    case finished

    /// The maximum size of a report, in bytes.
    static let maximumSize = 4_096

    var bytes: [UInt8] {
        switch self {
        case .taken: return Array("taken".utf8)
        case .gone(let number): return Array("gone \(number)".utf8)
        case .finished: return Array("finished".utf8)
        case .asks(let number, let message):
            let refusal = message.refusal.map { Array(ActivationReply($0).bytes.prefix(2_048)) } ?? []
            let flags = "\(message.isCut ? 1 : 0) \(message.lacksDescriptors ? 1 : 0)"
            return Array("asks \(number) \(message.count) \(flags) \(refusal.count)\n".utf8) + refusal + message.bytes
        }
    }

    var descriptors: [CInt] {
        if case .asks(_, let message) = self { message.descriptors.map(\.rawValue) } else { [] }
    }

    init?(_ received: MessageSocket.Message) {
        let bytes = received.bytes
        let end = bytes.firstIndex(of: UInt8(ascii: "\n")) ?? bytes.endIndex
        let words = String(decoding: bytes[..<end], as: UTF8.self).split(separator: " ")
        let numbers = words.dropFirst().compactMap { UInt64($0) }
        switch words.first {
        case "taken": self = .taken
        case "finished": self = .finished
        case "gone":
            guard let number = numbers.first else { return nil }
            self = .gone(number)
        case "asks":
            guard numbers.count == 5, end + 1 + Int(clamping: numbers[4]) <= bytes.count else { return nil }
            let refusalEnd = end + 1 + Int(numbers[4])
            self = .asks(
                numbers[0],
                ClientMessage(
                    bytes: Array(bytes[refusalEnd...]), refusal: Array(bytes[(end + 1)..<refusalEnd]),
                    count: Int(clamping: numbers[1]), isCut: numbers[2] != 0, received, lacks: numbers[3] != 0))
        default: return nil
        }
    }
}

extension ClientMessage {
    fileprivate init(
        bytes: [UInt8], refusal: [UInt8], count: Int, isCut: Bool, _ received: MessageSocket.Message, lacks: Bool
    ) {
        self.bytes = bytes
        self.count = count
        self.isCut = isCut
        descriptors = received.descriptors
        lacksDescriptors = lacks || received.lacksDescriptors
        if case .refused(let code, let sentence)? = try? ActivationReply(refusal) {
            self.refusal = SteeringError(code, sentence)
        }
    }
}
