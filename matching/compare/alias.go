package compare

import (
	"strings"
	"sync"
)

// aliases reports whether two folded words are forms of one name.
func aliases(a, b string) bool {
	table := forms()
	for _, group := range table[a] {
		for _, other := range table[b] {
			if group == other {
				return true
			}
		}
	}
	return false
}

// forms lists for each word the groups it belongs to: short forms, and the ways
// in which one name is written in Latin letters or used in another language.
// It is for the names of children in England, whatever their parents speak; a
// table of English short forms alone would miss those who are missed already.
var forms = sync.OnceValue(func() map[string][]int {
	out := map[string][]int{}
	for i, group := range Forms() {
		for _, w := range group {
			out[w] = append(out[w], i)
		}
	}
	return out
})

// Forms lists groups of words that are forms of one name.
func Forms() [][]string {
	var out [][]string
	for line := range strings.SplitSeq(strings.TrimSpace(formsTable), "\n") {
		out = append(out, strings.Fields(line))
	}
	return out
}

const formsTable = `
alexander alex alec alexandr aleksander aleksandr alexandre alejandro alessandro iskander iskandar xander sandy sasha olek
alexandra alex aleksandra alexa alessandra sandra sasha ola lexi lexie
abigail abi abbie abby gail
adam adem aadam
aisha ayesha aysha aishah aaisha aisyah eisha
ahmed ahmad ahmet achmed
albert al bert bertie alberto
alfred alfie alf fred freddie
ali aly
alice ali alicia alisha alys
amelia amy millie mia amelie emilia
amina aminah aamina aminat ameena
amir ameer emir
andrew andy drew andrzej andrei andrey andreas andre andrius
angela angie ange
anna ann anne annie ana hannah anya ania anja hanna
annabelle anna belle bella annabel
anthony tony antony ant antoni antonio anton antoine
arthur art artie artur arturo
ayman aymen aiman
barbara barb basia babs
bartholomew bart bartosz bartek bartlomiej
beatrice bea bee beatrix beata trixie
benjamin ben benji benny binyamin bunyamin
bilal bilaal billal
catherine kate katie cathy kathy cath cat kat kitty katherine kathryn katharine catrin cathryn katarzyna kasia katerina ekaterina katya catalina caterina karen
caitlin kaitlyn katelyn caitlyn kaitlin catelyn
cameron cam
caroline carol carrie carolyn karolina caro
charles charlie chas chuck karol carlos carl karl
charlotte charlie lottie lotte carlotta szarlotta char
christian chris krystian cristian kristian
christina chris tina christine krystyna kristina cristina christie chrissie
christopher chris kit topher krzysztof cristobal christophe
claire clare clara klara
constance connie
daniel dan danny daniil danil daniele daniyal danyal
daniela dani danielle daniella daniele
david dave davy davey dawid dafydd dai daoud dawud dawood daud
deborah deb debbie debra
dominic dom dominik nick
dorothy dot dottie dorota dora
edward ed eddie ted teddy ned edouard eduardo edvard
eleanor ellie nell nora elinor elena eleanora leonora ella elle
elizabeth liz lizzie lizzy beth betty eliza elsie libby elisabeth elzbieta ela bethany bess betsy elspeth isabel lisbeth elisaveta
emily em emmy emilia emilie
emma em emmy
esther ester esme hester
eugene gene evgeny yevgeny evgenii
evelyn eve evie eva evelina
fatima fatimah fatema fatma faatimah fathima fatoumata fatou
faisal faysal feisal
farhan farhaan
florence flo florrie flossie florentina
frances fran frankie francesca franciszka franny cesca
francis frank frankie fran franciszek francesco francisco
frederick fred freddie freddy fryderyk frederic friedrich
gabriel gabe gabriele jibril jibreel jibrail
gabriella gabby gabi ella gabriela gabrielle
george georgie jerzy jorge giorgio georg gheorghe georgios
georgina georgie gina georgia georgiana
gerald gerry jerry
gillian gill jill
grace gracie gracja
gregory greg gregor grzegorz grigory
habib habeeb
hamza hamzah hamsa
harold harry hal
harriet hattie harri
harun haroon haroun aaron aron
hasan hassan hasaan hassaan
henry harry hank hal henryk henri enrique heinrich
husain hussain hussein husayn hossain hosein huseyin hussien
ibrahim ebrahim abraham ibraheem ibrahima avraham abe
idris idrees
imran emran imraan
irene irena irina ira
isabella izzy bella isabel isabelle izabela izabella isobel ishbel
ismail ismael esmail ishmael ismaeel
jacob jake jakub kuba jacub yaqub yakub yaqoob yaakov jakob
jacqueline jackie jacqui
james jim jimmy jamie jem jaime seamus hamish
jane jan janey jayne joanna janina
janet jan
jasmine jas yasmin yasmine yasmeen jasmin jazmin
jeffrey jeff geoffrey geoff
jennifer jen jenny jenna
jeremy jez jem jerry
jessica jess jessie jesse
joanna jo joanne joan asia joasia johanna joana
john jon johnny jack ian sean shaun shawn evan ivan jan johan johann giovanni juan joao hans yahya yahia jean ioan
jonathan jon jonny nathan johnathan jonatan yonatan
joseph joe joey jo jozef yusuf yousef youssef yousuf yusef yosef giuseppe jose josef yoosuf
joshua josh yehoshua joszua
josephine jo josie jozefina
judith judy jude judyta
julia jules julie giulia yulia juliet
julian jules julien
katya katia ekaterina catherine
kenneth ken kenny
khadija khadijah khadeeja hadija hatice khadeejah
khalid khaled kaled halid
kimberley kim kimberly
laila layla leila leyla lailah laylah lila
laura laurie lara
lawrence larry laurence laurie lorenzo wawrzyniec
leonard leo len lenny leonardo
lewis lew louis lou luis ludwik
lillian lily lilly lil lilian liliana
louise lou lulu louisa luiza ludwika
lucas luke luca lukas lukasz lucasz luka luc
lucy lucie lucia lucja
maciej maciek matthias mathias
magdalena magda maggie lena madeleine madeline maddie
malgorzata gosia margaret maggie meg peggy margarita margot margo daisy greta rita marguerite
marcus marc mark marek marco marcos marko markus
maria mary marie mariam maryam miriam maryan marya maja marysia maryem meryem mariyam molly polly maire
martin marty marcin martyn martino
martha marta mattie
matilda tilly mattie mathilda matylda tillie
matthew matt matty mateusz mathew matteo mateo mathieu matej
maximilian max maks maksymilian maxim maksim maxwell
michael mike mick mickey micky michal mikael miguel mikhail misha michele mikail mikaeel mihai
michelle shell chelle
mohammed muhammad mohammad muhammed mohamed mohamad muhamed mahammad mehmet mohamud muhammadu muhammet md mohd
mahmoud mahmood mahmud mehmood
mustafa mustapha moustafa mostafa
musa moosa moussa moses moshe
nadia nadja nadiya
natalia natalie nat natasha nataliya natalya tasha
nathaniel nathan nat nate
nicholas nick nicky nico nicolas mikolaj nikolai nikolas nikola klaus colin
nicola nicky nikki nicole nikola
noor nur nour noora
oliver ollie oli olly olivier oliwier
olivia liv livvy olly oliwia livia
omar umar omer umer oumar
pamela pam
patricia pat patsy trish tricia patrycja
patrick pat paddy patryk patrice padraig
paul pawel paulo pablo pavel paolo
pauline paula polly
peter pete piotr pedro pierre pyotr petr piers
philip phil phillip filip felipe philippe pip
rachel rach rachael rahel raquel raheela
rahman rehman
raymond ray
rebecca becky becca beca rebekah rebeka
richard rick ricky dick richie rich ryszard ricardo
robert rob robbie bob bobby bert roberto robin
ronald ron ronnie
rose rosie rosa roza rosemary
ruth ruthie
sadia saadia sadiya
safa safaa
safiya safia safiyah saffiya saffiyah
said saeed sayeed saed saeid
salma salmah selma
samantha sam sammy sami
samuel sam sammy samuele shmuel
sarah sara sally sarra zara sarai
sebastian seb bastian sebastien
sergei sergey serge sergio
shahid shaheed
sharif shareef sherif
simon szymon simeon shimon si
sophia sophie zofia zosia sofia sofie sophy sofiya
stanislaw stan staszek stanislav stanley
stephanie steph stefania steffi stephany
stephen steve stevie steven stefan szczepan esteban etienne stephan
sulaiman suleiman sulayman solomon sulaymaan suleman sulieman
sumaya sumayyah sumaiya sumayya
susan sue susie suzie suzanne zuzanna susannah suzy zuza
tadeusz tadek thaddeus
tariq tarek tarik tareq
teresa tess tessa terri theresa therese
theodore theo ted teddy teodor fyodor
thomas tom tommy tomasz tomas tomek
timothy tim timmy tymoteusz
uthman usman othman osman usmaan
valerie val walerie valeria
veronica ronnie weronika nika veronika
victor vic wiktor viktor
victoria vicky tori vic wiktoria viktoria vicki
vincent vince vinny wincenty
vladimir vlad wladimir volodymyr vova
william will bill billy liam willy wilhelm guillermo vilhelm gwilym
yasin yaseen yassin yasine
yusra yusraa yousra
zachary zach zack zac zachariah zakariya zakaria zakariyya zechariah
zahra zahraa zara zehra sahra
zainab zaynab zeinab zeynep zaineb zaynub
zoe zoey zoya zoja
`
