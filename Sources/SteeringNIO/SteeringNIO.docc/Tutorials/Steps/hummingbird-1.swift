import Hummingbird

@main
struct HummingbirdServer {
    static func main() async throws {
        let router = Router()
        router.get("/") { _, _ in "hello\n" }
        let server = Application(router: router, configuration: .init(address: .hostname("127.0.0.1", port: 8080)))
        try await server.runService()
    }
}
