// The smallest HTTP server that starts in no time: what is measured around it is not its own.
// Answers every request of a keep-alive connection, one connection at a time, with the same few bytes.
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void) {
  static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
  const char* port = getenv("PORT");
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port ? atoi(port) : 8000)};
  int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (struct sockaddr*)&address, sizeof address) != 0 || listen(listener, 64) != 0) return 1;
  for (;;) {
    int peer = accept(listener, 0, 0);
    char buffer[65536];
    size_t have = 0;
    for (ssize_t got; (got = read(peer, buffer + have, sizeof buffer - 1 - have)) > 0;) {
      have += got;
      buffer[have] = 0;
      if (!strstr(buffer, "\r\n\r\n")) continue;
      if (write(peer, answer, sizeof answer - 1) < 0) break;
      have = 0;
    }
    close(peer);
  }
}
