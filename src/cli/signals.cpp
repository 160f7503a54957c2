#include "src/cli/signals.h"

#include <csignal>

namespace ganforge {
namespace {

volatile std::sig_atomic_t remembered = 0;

extern "C" void remember(int signal) {
  remembered = signal;
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}

}  // namespace

void catch_stop_signals() {
  struct sigaction action = {};
  action.sa_handler = remember;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

int stop_signal() {
  return remembered;
}

}  // namespace ganforge
