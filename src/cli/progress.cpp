#include "src/cli/progress.h"

#include <fmt/format.h>

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace ganforge {
namespace {

using namespace std::chrono_literals;

double seconds_between(std::chrono::steady_clock::time_point from, std::chrono::steady_clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

std::size_t terminal_width() {
  winsize size = {};
  return ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

void Meter::start(std::int64_t step, std::int64_t images) {
  last_ = Clock::now();
  old_ = recent_ = {last_, images};
  if (first_step_ < 0) first_step_ = step;
  last_step_ = step;
}

void Meter::update(const Stats& stats) {
  const Clock::time_point now = Clock::now();
  training_seconds_ += seconds_between(last_, now);
  last_ = now;
  last_step_ = stats.step;
  // On a GPU several reports come at once: the marks lie far enough apart for that not to matter.
  images_per_s_ = static_cast<double>(stats.images - old_.images) / std::max(seconds_between(old_.time, now), 1e-9);
  if (now - recent_.time > 2s) {
    old_ = recent_;
    recent_ = {now, stats.images};
  }
}

double Meter::steps_per_s() const {
  return static_cast<double>(last_step_ - first_step_) / std::max(training_seconds_, 1e-9);
}

Progress::Progress(const std::string& style, std::int64_t steps) : steps_(steps) {
  style_ = style == "none" ? Style::none : style == "plain" || !::isatty(STDOUT_FILENO) ? Style::plain : Style::live;
}

Progress::~Progress() {
  end_line();
}

void Progress::show(const Stats& stats, const Meter& meter) {
  const Clock::time_point now = Clock::now();
  if (style_ == Style::none || (now < next_ && stats.step < steps_)) return;
  next_ = now + (style_ == Style::live ? 100ms : 5000ms);
  const double speed = meter.steps_per_s();
  std::string line = fmt::format("step {}/{}  D {:.3f}  G {:.3f}  D(x) {:.2f}  D(G(z)) {:.2f}  {:.0f} images/s  ETA {}",
                                 stats.step, steps_, stats.d_loss, stats.g_loss, stats.d_real, stats.d_fake,
                                 meter.images_per_s(), clock_text(static_cast<double>(steps_ - stats.step) / speed));
  if (style_ == Style::plain) {
    line += '\n';
  } else {
    line.resize(std::min(line.size(), terminal_width() - 1));
    line = "\r" + line + "\033[K";
    open_ = true;
  }
  // Training goes on where nobody listens any more.
  if (std::fputs(line.c_str(), stdout) < 0 || std::fflush(stdout) != 0) style_ = Style::none;
}

void Progress::say(const std::string& line) {
  if (style_ == Style::none) return;
  end_line();
  if (std::fputs((line + '\n').c_str(), stdout) < 0 || std::fflush(stdout) != 0) style_ = Style::none;
}

void Progress::end_line() {
  if (open_) std::fputs("\n", stdout);
  open_ = false;
}

std::string clock_text(double seconds) {
  if (!(seconds < 1e9)) return "?";
  const auto s = static_cast<std::int64_t>(std::ceil(seconds));
  return s >= 3600 ? fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
                   : fmt::format("{}:{:02}", s / 60, s % 60);
}

}  // namespace ganforge
