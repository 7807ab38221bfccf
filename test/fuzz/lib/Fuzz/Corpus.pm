# Fuzz::Corpus: cases as SQL files, written and replayed.
#
# A file is a list of sections, each opened by a comment line of its own:
#   -- setup                  statements that make schema "f", its tables and their content
#   -- view NAME              one query; it becomes the derived view f.NAME
#   -- change                 statements, one a line; then the views must equal their queries.
#                             A line may begin with the number of its session: /*1*/ UPDATE ...
# What stands before the first section says what the case is.

package Fuzz::Corpus;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use Fuzz::Schema;

our @EXPORT = qw(case_text write_case corpus_files replay);

# A query with a line for each of its larger parts.
sub pretty
{
	my ($sql) = @_;

	$sql =~ s/ (FROM|WHERE|GROUP BY|HAVING|ORDER BY|UNION|INTERSECT|EXCEPT) /\n  $1 /g if length $sql > 100;
	return $sql;
}

# A fault as a file of the corpus.
sub case_text
{
	my ($fault) = @_;
	my $case = $fault->{case};
	my $text = "-- $fault->{kind}: " . ($fault->{detail} =~ s/\s*\n\s*/ /gr) . "\n-- Seed $fault->{seed}, batch $fault->{batch}"
	  . ($fault->{what} ? '' : '; not reproduced alone, this is all of it') . ".\n\n-- setup\n";
	my $tables = tables_sql($case->{tables}, $case->{gone});
	my $used = join ' ', $tables, map { $_->{sql} } @{ $case->{views} };

	# Of the types and functions, those that are used.
	for my $statement (split /(?<=;\n)/, schema_sql())
	{
		my ($name) = $statement =~ /(f\.\w+)/;
		$text .= $statement if !$name || $used =~ /\Q$name\E/ || ($name eq 'f.weigh' && $used =~ /f\.weight/);
	}
	$text .= $tables;
	$text .= change_sql($_) . ";\n" for @{ $case->{rows} };
	$text .= "\n-- view $_->{name}\n" . pretty($_->{sql}) . ";\n" for @{ $case->{views} };
	for my $round (@{ $case->{rounds} })
	{
		my $several = grep { $_->{s} != 0 } @$round;
		$text .= "\n-- change\n";
		$text .= ($several ? "/*$_->{s}*/ " : '') . change_sql($_->{c}) . ";\n" for @$round;
	}
	return $text . "\n";
}

# Writes a fault into a folder, as NNN_kind.sql with the next free number.
sub write_case
{
	my ($fault, $dir) = @_;
	my $n = 1;

	mkdir $dir unless -d $dir;
	$n++ while grep { -e } glob(sprintf '%s/%03d_*', $dir, $n);
	my $file = sprintf '%s/%03d_%s.sql', $dir, $n, $fault->{kind};
	open my $out, '>', $file or die "$file: $!\n";
	print $out case_text($fault);
	close $out;
	print "written: $file\n";
	return;
}

sub corpus_files { return sort glob("$_[0]/*.sql") }

# The sections of a file: [kind, name, text], ...
sub read_sections
{
	my ($file) = @_;
	my @sections;

	open my $in, '<', $file or die "$file: $!\n";
	while (my $line = <$in>)
	{
		if ($line =~ /^-- (setup|change|view)(?: (\w+))?\s*$/) { push @sections, [ $1, $2 // '', '' ] }
		elsif (@sections && $line !~ /^--/) { $sections[-1][2] .= $line }
	}
	close $in;
	return @sections;
}

# Runs a file; returns ('' or the kind of fault or 'refused', a note).
sub replay
{
	my ($run, $file) = @_;
	my @views;
	my $verify = 1;

	$run->reset_schema([], {}, []);
	$run->{db}->do('DROP SCHEMA f CASCADE');
	for my $section (read_sections($file))
	{
		my ($kind, $name, $text) = @$section;
		my @steps;
		if ($kind eq 'setup')
		{
			$run->{db}->do($text);
			next;
		}
		if ($kind eq 'view')
		{
			$text =~ s/;\s*$//;
			my $error = $run->create_view($name, $text);
			return ('refused', Fuzz::Run::message($error)) if $error;
			$run->prepare_check($name, $text);
			push @views, { name => $name, sql => $text };
		}
		else
		{
			for my $line (grep { /\S/ } split /\n/, $text)
			{
				my ($s, $sql) = $line =~ m{^(?:/\*(\d)\*/ )?(.*?);?\s*$};
				push @steps, { s => $s // 0, c => { k => 'raw', sql => $sql } };
			}
		}
		my $fault = $run->round(\@steps, 1, @views);
		for my $who (sort keys %$fault)
		{
			my ($v) = grep { $_->{name} eq $who } @views;
			return ($fault->{$who}, "$who: " . ($v ? $v->{detail} // '' : ''));
		}
	}
	return ('', '');
}

1;
