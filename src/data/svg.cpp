#include "src/data/svg.h"

#include <ganforge/error.h>

#include "src/data/atomic_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace ganforge {
namespace {

constexpr double width = 880, height = 480;
constexpr double left = 76, right = 24, top = 84, bottom = 62;
constexpr std::size_t max_points = 400;

// Okabe and Ito's palette, which colour-blind people can tell apart.
constexpr std::array<const char*, 6> colours = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"};

struct Range {
  double low = std::numeric_limits<double>::infinity(), high = -std::numeric_limits<double>::infinity();
  void include(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

struct Point {
  double x, y, low, high;  // the band
  bool drawn() const { return std::isfinite(x) && std::isfinite(y); }
};

std::vector<Point> thinned(const Series& series) {
  if (series.x.size() != series.y.size()) {
    throw ShapeError(fmt::format("series '{}' has {} x and {} y", series.name, series.x.size(), series.y.size()));
  }
  const std::size_t size = series.x.size(), parts = std::min(size, max_points);
  std::vector<Point> points;
  for (std::size_t part = 0; part < parts; ++part) {
    double x = 0, y = 0;
    Range band;
    std::size_t count = 0;
    for (std::size_t i = part * size / parts; i < (part + 1) * size / parts; ++i) {
      if (!std::isfinite(series.x[i]) || !std::isfinite(series.y[i])) continue;
      ++count;
      x += (series.x[i] - x) / static_cast<double>(count);
      y += (series.y[i] - y) / static_cast<double>(count);
      band.include(series.y[i]);
    }
    const double gap = std::numeric_limits<double>::quiet_NaN();
    points.push_back(count > 0 ? Point{x, y, band.low, band.high} : Point{gap, gap, gap, gap});
  }
  return points;
}

/// Positions and labels of about `wanted` ticks, at multiples of 1, 2 or 5 times a power of ten.
struct Axis {
  Range range;
  std::vector<double> ticks;
  int decimals = 0;
  bool exponents = false;

  Axis(Range data, int wanted) : range(data) {
    if (range.low > range.high) range = {0, 1};  // nothing to draw
    if (range.low == range.high) {
      const double around = range.low == 0 ? 1 : std::abs(range.low) / 2;
      range = {range.low - around, range.high + around};
    }
    const double rough = (range.high - range.low) / wanted;
    const double power = std::pow(10, std::floor(std::log10(rough)));
    double step = 10 * power;
    for (double factor : {5, 2, 1}) {
      if (factor * power >= rough) step = factor * power;
    }
    decimals = std::max(0, static_cast<int>(-std::floor(std::log10(step) + 1e-9)));
    const double largest = std::max(std::abs(range.low), std::abs(range.high));
    exponents = decimals > 4 || largest >= 1e7;
    const double first = std::ceil(range.low / step - 1e-9), last = std::floor(range.high / step + 1e-9);
    for (double i = first; i <= last; ++i) ticks.push_back(i * step);
  }

  std::string label(double tick) const {
    if (exponents) return fmt::format("{:.4g}", tick);
    return fmt::format("{:.{}f}", tick + 0.0, decimals);  // + 0.0: no "-0"
  }
  double at(double value, double begin, double end) const {
    return begin + (value - range.low) / (range.high - range.low) * (end - begin);
  }
};

std::string escaped(const std::string& text) {
  std::string out;
  for (char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return out;
}

class Chart {
 public:
  Chart(Axis x, Axis y) : x_(std::move(x)), y_(std::move(y)) {
    // The white rectangle keeps dark text readable in a dark viewer.
    svg_ = fmt::format(R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" width="{0}" height="{1}")"
                       R"( font-family="Helvetica, Arial, sans-serif" font-size="13" fill="#333333">)"
                       "\n"
                       R"(<rect width="{0}" height="{1}" fill="#ffffff"/>)"
                       "\n"
                       R"(<clipPath id="plot"><rect x="{2}" y="{3}" width="{4}" height="{5}"/></clipPath>)"
                       "\n",
                       width, height, left, top, width - left - right, height - top - bottom);
  }

  void text(double x, double y, const char* attributes, const std::string& content) {
    svg_ += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" {}>{}</text>\n", x, y, attributes, escaped(content));
  }

  void draw_frame(const ChartText& words) {
    for (double tick : y_.ticks) {
      line(left, py(tick), width - right, py(tick), "#e4e4e4");
      text(left - 8, py(tick) + 4.5, "text-anchor=\"end\"", y_.label(tick));
    }
    for (double tick : x_.ticks) {
      line(px(tick), height - bottom, px(tick), height - bottom + 5, "#777777");
      text(px(tick), height - bottom + 20, "text-anchor=\"middle\"", x_.label(tick));
    }
    line(left, top, left, height - bottom, "#777777");
    line(left, height - bottom, width - right, height - bottom, "#777777");
    text(left, 30, "font-size=\"18\" font-weight=\"bold\"", words.title);
    text((left + width - right) / 2, height - 16, "text-anchor=\"middle\"", words.x_label);
    const std::string turned =
        fmt::format("text-anchor=\"middle\" transform=\"rotate(-90 18 {:.1f})\"", (top + height - bottom) / 2);
    text(18, (top + height - bottom) / 2, turned.c_str(), words.y_label);
  }

  void draw_legend(std::span<const Series> series) {
    constexpr double mark = 24, letter = 7.2,
                     gap = 22;  // widths; the font's is an estimate
    double x = left, y = 56;
    for (std::size_t i = 0; i < series.size(); ++i) {
      const double wide = mark + 8 + letter * static_cast<double>(series[i].name.size()) + gap;
      if (x > left && x + wide > width) {
        x = left;
        y += 17;
      }
      svg_ += fmt::format("<path d=\"M{:.1f} {:.1f}h{}\" stroke=\"{}\" stroke-width=\"3\"/>\n", x, y - 4.5, mark,
                          colour(i));
      text(x + mark + 8, y, "", series[i].name);
      x += wide;
    }
  }

  void draw_band(std::span<const Point> points, std::size_t number) {
    const auto edge = [&](double y) { return py(std::clamp(y, y_.range.low, y_.range.high)); };
    for_runs(points, [&](std::span<const Point> run) {
      std::string path;
      for (const Point& p : run)
        path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? 'M' : 'L', px(p.x), edge(p.high));
      for (std::size_t i = run.size(); i-- > 0;) path += fmt::format("L{:.1f} {:.1f}", px(run[i].x), edge(run[i].low));
      svg_ += fmt::format("<path clip-path=\"url(#plot)\" d=\"{}Z\" fill=\"{}\" fill-opacity=\"0.16\"/>\n", path,
                          colour(number));
    });
  }

  void draw_line(std::span<const Point> points, std::size_t number) {
    for_runs(points, [&](std::span<const Point> run) {
      std::string path;
      for (const Point& p : run) path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? 'M' : 'L', px(p.x), py(p.y));
      if (run.size() == 1) path += "h0.1";  // a dot, by the round caps
      svg_ += fmt::format(
          "<path clip-path=\"url(#plot)\" d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" "
          "stroke-linejoin=\"round\" stroke-linecap=\"round\"/>\n",
          path, colour(number), run.size() == 1 ? 4.0 : 1.8);
    });
  }

  std::string finish() { return svg_ + "</svg>\n"; }

 private:
  static const char* colour(std::size_t number) { return colours[number % colours.size()]; }
  double px(double x) const { return x_.at(x, left, width - right); }
  double py(double y) const { return y_.at(y, height - bottom, top); }

  void line(double x1, double y1, double x2, double y2, const char* stroke) {
    svg_ += fmt::format("<path d=\"M{:.1f} {:.1f}L{:.1f} {:.1f}\" stroke=\"{}\"/>\n", x1, y1, x2, y2, stroke);
  }

  /// Calls `draw` for every run of points without a gap.
  template <class Draw>
  static void for_runs(std::span<const Point> points, Draw draw) {
    for (std::size_t i = 0; i < points.size();) {
      const std::size_t begin = i;
      while (i < points.size() && points[i].drawn()) ++i;
      if (i > begin) draw(points.subspan(begin, i - begin));
      while (i < points.size() && !points[i].drawn()) ++i;
    }
  }

  Axis x_, y_;
  std::string svg_;
};

}  // namespace

void write_line_chart(const std::filesystem::path& path, const ChartText& text, std::span<const Series> series) {
  std::vector<std::vector<Point>> lines;
  Range x, y;
  for (const Series& one : series) {
    lines.push_back(thinned(one));
    for (double value : one.x) {
      if (std::isfinite(value)) x.include(value);
    }
    for (const Point& point : lines.back()) {
      if (point.drawn()) y.include(point.y);
    }
  }
  if (y.low < y.high) {  // room above and below the lines
    const double margin = 0.05 * (y.high - y.low);
    y = {y.low >= 0 && y.low < margin ? 0 : y.low - margin, y.high + margin};
  }
  Chart chart(Axis(x, 8), Axis(y, 6));
  chart.draw_frame(text);
  chart.draw_legend(series);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (series[i].x.size() > max_points) chart.draw_band(lines[i], i);
  }
  for (std::size_t i = 0; i < lines.size(); ++i) chart.draw_line(lines[i], i);
  write_atomically(path, chart.finish());
}

}  // namespace ganforge
