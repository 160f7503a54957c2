// Ctrl-C and SIGTERM.
#pragma once

namespace ganforge {

/// From now on a first SIGINT or SIGTERM is remembered; another one ends the program at once.
void catch_stop_signals();
/// The signal that was remembered, or 0.
int stop_signal();

}  // namespace ganforge
