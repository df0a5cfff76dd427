# SPDX-License-Identifier: GPL-2.0
#
# The table of scripts/symbols, whose head says what is in it. Input, sorted by
# the third field:
#   import KERNEL SYMBOL
#   use KERNEL SYMBOL FILE                           what parts of the module lack
#   export KERNEL SYMBOL LETTER MODULE NAMESPACE     "-" for no namespace
#   namespace KERNEL NAME                            the module imports it
# Variables: kernels, in the order of the columns; tsv.

BEGIN {
	columns = split(kernels, kernel, " ")
}

$1 == "import" {
	if (!($3 in known))
		symbol[++symbols] = $3
	known[$3] = 1
	imported[$2, $3] = 1
}

$1 == "use" && !(($3, $4) in used) {
	used[$3, $4] = 1
	files[$3] = files[$3] (users[$3]++ ? "," : "") $4
}

$1 == "export" {
	letter[$2, $3] = $4
	module[$2, $3] = $5
	space[$2, $3] = $6
}

$1 == "namespace" {
	opened[$2, $3] = 1
}

function cell(k, s,	text, from)
{
	if (!((k, s) in letter))
		return (k, s) in imported ? "MISSING" : "."
	text = (k, s) in imported ? letter[k, s] : tolower(letter[k, s])
	if (space[k, s] != "-")
		text = text "[" space[k, s] "]"
	if (module[k, s] != "vmlinux") {
		from = module[k, s]
		sub(/^.*\//, "", from)
		text = text "@" from
	}
	return text
}

# All files of a symbol for a program; for a person, as many as fit into the line.
function needed_by(s)
{
	if (!users[s])
		return "kbuild"
	return tsv || users[s] <= 4 ? files[s] : users[s] " files"
}

function put(row, column, text)
{
	grid[row, column] = text
	if (length(text) > width[column])
		width[column] = length(text)
}

function fill(	row, c)
{
	put(0, 1, "SYMBOL")
	put(0, columns + 2, "FILES")
	for (c = 1; c <= columns; c++)
		put(0, c + 1, kernel[c])
	for (row = 1; row <= symbols; row++) {
		put(row, 1, symbol[row])
		put(row, columns + 2, needed_by(symbol[row]))
		for (c = 1; c <= columns; c++)
			put(row, c + 1, cell(kernel[c], symbol[row]))
	}
}

function print_row(row,	c, line)
{
	for (c = 1; c <= columns + 1; c++)
		line = line (tsv ? grid[row, c] "\t" : sprintf("%-*s  ", width[c], grid[row, c]))
	print line grid[row, columns + 2]
}

# Words below a heading, as many in each line as fit.
function print_list(heading, list,	words, word, i, line)
{
	print heading
	words = split(list, word, " ")
	for (i = 1; i <= words; i++) {
		if (length(line) + length(word[i]) > 100) {
			print line
			line = ""
		}
		line = line "  " word[i]
	}
	print line
}

# What only some kernels import, by the kernels that do.
function print_differences(	row, c, s, who, count, groups, group, list, size)
{
	for (row = 1; row <= symbols; row++) {
		s = symbol[row]
		who = ""
		count = 0
		for (c = 1; c <= columns; c++)
			if ((kernel[c], s) in imported) {
				who = who " " kernel[c]
				count++
			}
		if (count == columns)
			continue
		if (!size[who]++)
			group[++groups] = who
		list[who] = list[who] " " s
	}
	for (c = 1; c <= groups; c++)
		print_list("\nonly on" group[c] " (" size[group[c]] "):", list[group[c]])
}

# What keeps the module from being loaded, on standard error.
function complain(	row, c, k, s, bad)
{
	for (row = 1; row <= symbols; row++)
		for (c = 1; c <= columns; c++) {
			k = kernel[c]
			s = symbol[row]
			if (!((k, s) in imported))
				continue
			if (!((k, s) in letter)) {
				bad = "does not export " s
			} else if (space[k, s] != "-" && !((k, space[k, s]) in opened)) {
				bad = "exports " s " to namespace " space[k, s] " only"
			} else {
				continue
			}
			print "symbols: kernel " k " " bad "; needed by " needed_by(s) >"/dev/stderr"
			failed = 1
		}
}

END {
	if (!symbols) {
		print "symbols: the module imports nothing, which cannot be true" >"/dev/stderr"
		exit 1
	}
	fill()
	for (row = 0; row <= symbols; row++)
		print_row(row)
	if (!tsv) {
		print "\n" symbols " symbols"
		print_differences()
	}
	complain()
	exit failed
}
