// Line charts for people.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace ganforge {

/// y over x, x ascending. A point with a NaN or an infinity is left out and breaks the line.
struct Series {
  std::string name;
  std::vector<double> x, y;
};

struct ChartText {
  std::string title, x_label, y_label;
};

/// Writes a chart as SVG. A series of more than 400 points becomes the means of 400 equal parts of it, drawn over the
/// band from their smallest to their largest value. The file appears whole or not at all. Throws FormatError if it
/// cannot be written, ShapeError if x and y of a series differ in length.
void write_line_chart(const std::filesystem::path& path, const ChartText& text, std::span<const Series> series);

}  // namespace ganforge
