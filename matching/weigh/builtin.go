package weigh

// How the shares of names fall off with their rank, for children born in
// England and Wales in this century and for family names (published counts of
// the Office for National Statistics; the lists below are our own).
var (
	givenShares  = []point{{1, 0.018}, {2, 0.016}, {5, 0.0125}, {10, 0.0105}, {20, 0.0077}, {50, 0.0039}, {100, 0.0019}, {200, 0.0009}, {400, 0.0004}}
	familyShares = []point{{1, 0.013}, {2, 0.0103}, {5, 0.0068}, {10, 0.0039}, {20, 0.0031}, {50, 0.002}, {100, 0.00123}, {200, 0.00065}, {400, 0.00041}}
)

const boys = `
oliver jack harry george noah charlie jacob thomas muhammad oscar william james leo alfie joshua henry archie ethan joseph freddie
samuel alexander logan daniel isaac max mohammed benjamin mason lucas edward harrison jake dylan riley finley theo sebastian adam zachary
arthur toby jayden luke harley lewis tyler harvey matthew david reuben michael elijah kian tommy mohammad blake luca theodore stanley
jenson nathan charles frankie jude teddy louie louis ryan hugo bobby elliott dexter ollie alex liam kai gabriel connor aaron
frederick callum elliot albert leon ronnie rory jamie austin seth ibrahim owen caleb ellis sonny robert joey felix finlay jackson
ahmed ali yusuf hamza abdullah omar bilal zayn zain hassan hussain abdul syed umar ismail musa mustafa eesa yahya haris
jakub filip kacper szymon oskar antoni jan michal mateusz wiktor piotr nikodem aleksander adrian dawid igor bartosz marcel tymon franciszek
arjun aarav rohan dev krish aryan vihaan ishaan kabir rayan amir idris malik kareem tariq faisal imran khalid zakariya ayaan
ethan aiden evan rhys tomos dylan cameron kyle ben sam dominic patrick sean conor finn hudson carter roman grayson jaxon
kofi kwame emmanuel samuel david joel micah nathaniel tobi ayo chidi malachi josiah ezra levi jonah silas rafael mateo thiago
minh anh duc quang long huy nam bao andrei stefan vlad ionut matei luka nikola marko viktor ivan dimitri maksim artem
`

const girls = `
olivia amelia emily isla ava jessica ella isabella poppy mia sophie lily grace evie sophia ruby scarlett chloe charlotte freya
isabelle daisy phoebe alice florence sienna matilda ellie rosie evelyn layla millie eva maisie lucy sofia elsie imogen erin emma
lola hannah megan eleanor abigail holly molly ivy willow bella summer georgia elizabeth aisha maryam fatima zara aaliyah zainab amber
lilly rose esme harriet summer maya julia gracie thea penelope harper orla lottie violet maria martha lexi eliza sarah amelie
darcey leah nancy lydia bethany katie rebecca paige jasmine beatrice anna heidi skye faith iris aurora hallie mila nevaeh hollie
khadija amina hafsa sumaya ayesha safa noor hiba iqra hajra inaaya anaya alisha aliza mariam yasmin leila nadia samira halima
zuzanna maja lena hanna oliwia amelia nikola wiktoria natalia aleksandra zofia gabriela antonina pola kaja weronika kinga milena martyna laura
ananya aanya diya priya riya saanvi isha kavya meera simran jasleen harleen kiran anika navya tara sana rania dalia salma
isabel niamh caitlin ffion seren cerys megan carys lowri tia courtney chelsea lauren natasha victoria caitlyn kayla tilly lacey kiera
grace esther blessing gloria naomi abigail ruth deborah adaeze chioma temi zoe hope joy mercy keira alana alexa eve robyn
linh mai thao ngoc trang anh vy andreea ioana bianca daria sofija elena mara petra anastasia alina polina ksenia tatiana camila valentina
`

const families = `
smith jones taylor williams brown davies evans wilson thomas roberts johnson khan lewis walker robinson wood thompson white watson jackson
wright green harris cooper king lee martin clarke james morgan hughes edwards hill moore clark harrison patel scott young morris
hall ward turner carter phillips mitchell hussain ahmed ali campbell adams anderson allen cook bailey miller parker davis begum murphy
bell price baker griffiths kelly simpson marshall collins bennett cox richardson fox gray rose chapman hunt robertson shaw reynolds lloyd
ellis richards wilkinson russell graham stewart reid powell murray palmer rogers holmes stevens walsh hunter thomson matthews ross owen knight
mason kennedy butler saunders cole pearce dean foster harvey hudson gibson mills berry pearson barnes kaur singh booth grant dixon
gordon lane harper hart lawson day woods black rees fraser fletcher willis marsh doyle lowe hopkins nicholson burns parry jordan
mohamed shah akhtar malik mahmood iqbal chaudhry hassan ibrahim rahman uddin miah islam hossain abdi yusuf osman warsame bibi aslam
nowak kowalski wisniewski wojcik kowalczyk kaminski lewandowski zielinski szymanski wozniak dabrowski mazur krawczyk popescu ionescu popa dumitru stan ivanov petrov
nguyen tran le pham huynh hoang phan vu vo dang bui chen wang li zhang liu wong chan cheung lam
sharma gupta kumar desai mistry joshi mehta gill sandhu dhillon sidhu rai das roy okafor adeyemi okonkwo mensah boateng osei
newman howard henderson barrett burton riley porter byrne john baxter perry mccarthy burke ball elliott cooke read francis gallagher duncan
sharp austin wallace hawkins hayes sutton davidson holland moss may bates oliver kemp page morrison arnold stevenson ford flynn potter
`
