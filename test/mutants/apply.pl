# apply.pl: puts a mutant's bug into a tree, or asks whether it could be.
#
#   perl apply.pl MUTANT TREE          changes TREE
#   perl apply.pl --check TREE MUTANT...
#
# A mutant's text must be in its source file exactly once.

use strict;
use warnings FATAL => 'all';

# Returns the parts of a mutant: what, file, old, new; a part ends where the next one begins.
sub parts
{
	my ($mutant) = @_;
	my (%part, $key);

	open my $in, '<', $mutant or die "$mutant: $!\n";
	while (my $line = <$in>)
	{
		$key = $1 if $line =~ s/^(what|file|old|new|test): //;
		$part{$key} .= $line if $key;
	}
	s/\n\z// for values %part;
	return %part;
}

# Returns the path and the changed text of a mutant's source file.
sub changed
{
	my ($mutant, $tree) = @_;
	my %part = parts($mutant);
	my $path = "$tree/$part{file}";

	open my $in, '<', $path or die "$part{file}: $!\n";
	my $text = do { local $/; <$in> };
	my $count = () = $text =~ /\Q$part{old}\E/g;
	die "its text is in $part{file} $count times\n" if $count != 1;
	$text =~ s/\Q$part{old}\E/$part{new}/;
	return ($path, $text);
}

if (($ARGV[0] // '') eq '--check')
{
	my ($option, $tree, @mutants) = @ARGV;
	my $failed = 0;

	for my $mutant (@mutants)
	{
		next if eval { changed($mutant, $tree); 1 };
		print "$mutant does not apply: $@";
		$failed = 1;
	}
	exit $failed;
}
my ($path, $text) = changed(@ARGV);
open my $out, '>', $path or die "$path: $!\n";
print $out $text;
close $out or die "$path: $!\n";
